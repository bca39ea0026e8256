"""`lacuna stats`: how many suggestions were shown and accepted, day by day, and what was learned from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from rich.table import Table

from lacuna_server import experience
from lacuna_server.commands.show import print_table, stdout
from lacuna_server.core.correction import bin_of, chance_of, fit
from lacuna_server.experience import Bins, experience_file
from lacuna_server.statistics import Counts, read, statistics_file

_WIDTH = 30
_BLOCKS, _ASCII = ("█", "▌"), ("=", "-")
_RANGES = ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0))


@dataclass(frozen=True, slots=True)
class LearnedRange:
    """Answers of a model whose chance, as it was fitted for everybody, was from `low` to `high`.

    `right` of these `answers` are what the user wrote, and `now` is what the middle of the range counts as since.
    """

    model: str
    low: float
    high: float
    answers: int
    right: int
    now: float


def run(days: int, as_json: bool) -> None:
    """Prints the counts of the last `days` days that have any, and what was learned."""
    counts = dict(list(read(statistics_file()).items())[-days:])
    learned = [row for model, bins in experience.read(experience_file()).items() for row in _ranges(model, bins)]
    if as_json:
        content = {
            "days": {day: asdict(of_day) for day, of_day in counts.items()},
            "learned": list(map(asdict, learned)),
        }
        print(json.dumps(content, indent=1))  # noqa: T201
        return
    if not counts:
        stdout.print("No suggestion was counted yet. Lacuna counts while an editor uses it (setting statistics).")
    else:
        print_table(_table(counts))
    if learned:
        stdout.print("\nWhat you wrote where Lacuna had an answer, shown or not, and how it judges such answers now:")
        print_table(_learned_table(learned))


def _ranges(model: str, bins: Bins) -> Iterator[LearnedRange]:
    correction = fit(bins)
    for low, high in _RANGES:
        inside = [one for number, one in enumerate(bins) if low <= chance_of(number) < high]
        if answers := sum(one.count for one in inside):
            middle = chance_of(bin_of((low + high) / 2))
            yield LearnedRange(model, low, high, answers, sum(one.right for one in inside), correction.of(middle))


def _learned_table(learned: list[LearnedRange]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("model")
    for title in ("expected", "answers", "right", "now expected"):
        table.add_column(title, justify="right")
    for row in learned:
        table.add_row(
            row.model,
            f"{100 * row.low:.0f} to {100 * row.high:.0f} %",
            str(row.answers),
            _percent(row.right, row.answers),
            f"{100 * row.now:.0f} %",
        )
    return table


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
