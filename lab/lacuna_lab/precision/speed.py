"""The time of a token in each dtype: alternating if all models fit into memory together, else one after the other."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from lacuna_inference.api import ModelOptions
from lacuna_inference.models.loader import choose_device
from lacuna_inference.models.loading import memory
from lacuna_inference.models.loading.sources import ModelFolder
from lacuna_lab.bench import bandwidth, decode
from lacuna_lab.precision import variants
from lacuna_lab.resources import estimate


@dataclass(frozen=True, slots=True)
class Speed:
    """Decoding one token after 256 others. `together`: the dtypes took turns, all of them in memory.

    `weight_bytes` counts each parameter once, `resident_bytes` is what the loader keeps according to
    `lacuna resources`.
    """

    pass_s: float
    tokens_per_s: float
    weight_bytes: int
    resident_bytes: int
    together: bool


_REPEATS = 15
_SHARE = 0.8
"""Share of the free memory that the models may take together."""


def speeds(
    folder: ModelFolder, options: ModelOptions, dtypes: Sequence[str], on_progress: Callable[[str, float], None]
) -> dict[str, Speed]:
    """The speed in each dtype; all of them must be loadable. Empty when the model's context is too short to measure."""
    device = choose_device(options.device)
    subject = estimate.ModelSubject(folder.name, folder.config, folder.path)
    min_context = decode.CACHED_TOKENS + 8
    if subject.context < min_context:
        return {}
    options = replace(options, context=max(options.context, min_context))
    sketch = estimate.sketch(subject, decode.CACHED_TOKENS)
    resident = {dtype: sketch.resident_bytes(dtype, device.type) for dtype in dtypes}
    free = memory.available_bytes(device)
    together = free is not None and sum(resident.values()) < _SHARE * free
    copy_bandwidth = bandwidth.copy_bandwidth(device)
    found: dict[str, Speed] = {}
    for number, group in enumerate([list(dtypes)] if together else [[dtype] for dtype in dtypes]):
        on_progress("measuring the speed", number / len(dtypes))
        for dtype, row in zip(group, _rows(options, group, device, copy_bandwidth), strict=True):
            weights = sketch.weight_bytes(dtype)
            found[dtype] = Speed(row.pass_s, row.tokens_per_s, weights, resident[dtype], together)
        gc.collect()
    return found


def _rows(
    options: ModelOptions, dtypes: Sequence[str], device: torch.device, copy_bandwidth: float
) -> list[decode.DecodeRow]:
    subjects = []
    for dtype in dtypes:
        loaded = variants.loaded(options, dtype, acceleration="auto")
        assert loaded.forward is not None
        subjects.append(decode.DecodeSubject(loaded.name, loaded.kind, dtype, loaded.forward, 0, random_weights=False))
    return decode.measure(subjects, (1,), device, copy_bandwidth, _REPEATS)
