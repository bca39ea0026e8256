"""`lacuna bench`: measures, and prints tables or JSON."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from dataclasses import asdict

from lacuna_server.commands.show import stderr

WIDTHS = (1, 2, 4, 8)


def decode(names: Sequence[str], dtypes: Sequence[str], device_name: str, repeats: int, as_json: bool) -> None:
    """Tokens a second of each model behind each forward, beside the copy bandwidth measured in the same run."""
    from lacuna_inference.models.loader import choose_device
    from lacuna_server.lab.bench import decode as bench
    from lacuna_server.lab.bench.bandwidth import copy_bandwidth
    from lacuna_server.lab.bench.subjects import groups

    device = choose_device(device_name)
    bandwidth = copy_bandwidth(device)
    rows: list[bench.Row] = []
    for dtype in dtypes:
        for subjects in groups(names, dtype, device):
            stderr.print(f"measuring {subjects[0].model} in {dtype}")
            rows += bench.measure(subjects, WIDTHS, device, bandwidth, repeats)
            del subjects
            gc.collect()
    if as_json:
        print(json.dumps({"copy_bandwidth": bandwidth, "rows": [asdict(row) for row in rows]}, indent=1))  # noqa: T201
    else:
        print("\n".join(bench.table(rows, bandwidth)))  # noqa: T201
