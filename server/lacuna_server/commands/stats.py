"""`lacuna stats`: how many suggestions were shown, accepted and retained, day by day."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.table import Table

from lacuna_server.commands.show import print_table, stdout
from lacuna_server.statistics import Counts, read, statistics_file

_WIDTH = 30
_BLOCKS, _ASCII = ("█", "▌"), ("=", "-")


def run(days: int, as_json: bool) -> None:
    """Prints the counts of the last `days` days that have any."""
    counts = dict(list(read(statistics_file()).items())[-days:])
    if as_json:
        print(json.dumps({day: asdict(of_day) for day, of_day in counts.items()}, indent=1))  # noqa: T201
    elif not counts:
        stdout.print("No suggestion was counted yet. Lacuna counts while an editor uses it (setting statistics).")
    else:
        print_table(_table(counts))


def _table(counts: dict[str, Counts]) -> Table:
    total = Counts()
    for of_day in counts.values():
        total.add(of_day)
    maximum = max(of_day.characters for of_day in counts.values())
    table = Table(box=None, pad_edge=False)
    for title, justify in (("day", "left"), ("shown", "right"), ("accepted", "right"), ("retained", "right")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    table.add_column("characters", justify="right")
    table.add_column("")
    for day, of_day in [*counts.items(), ("all", total)]:
        bar = "" if day == "all" else _bar(of_day.characters, maximum)
        table.add_row(
            day,
            str(of_day.shown),
            f"{of_day.accepted} ({_percent(of_day.accepted, of_day.shown)})",
            f"{of_day.retained} ({_percent(of_day.retained, of_day.accepted)})",
            str(of_day.characters),
            bar,
        )
    return table


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _bar(value: int, maximum: int) -> str:
    full, half = _BLOCKS if stdout.encoding.startswith("utf") else _ASCII
    halves = round(2 * _WIDTH * value / maximum) if maximum else 0
    return full * (halves // 2) + half * (halves % 2)
