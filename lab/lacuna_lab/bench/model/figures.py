"""Figures of both contestants side by side, and their table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Better(StrEnum):
    """Which of two figures is better."""

    LESS = "less"
    MORE = "more"


class Unit(StrEnum):
    """What a figure counts; how it is shown follows from it."""

    SECONDS = "s"
    RATE = "tokens/s"
    TOKENS = "tokens"
    BYTES = "bytes"
    COUNT = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: Lacuna's `own` and its peer's, None where not measured. `of` is what a count is out of."""

    part: str
    name: str
    unit: Unit
    own: float | None
    peer: float | None
    better: Better | None = Better.LESS
    of: int | None = None

    @property
    def ratio(self) -> float | None:
        """How many times better Lacuna is; below 1 it is worse. None where one is missing or zero."""
        if not self.own or not self.peer or self.better is None:
            return None
        return self.own / self.peer if self.better is Better.MORE else self.peer / self.own

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio}


def table(figures: Sequence[Figure], peer: str = "llama.cpp") -> Iterator[str]:
    """The figures as a Markdown table, line by line. A ratio above 1 says that Lacuna is better."""
    yield f"| what | Lacuna | {peer} | ratio |"
    yield "| --- | --- | --- | --- |"
    for figure in figures:
        cells = (shown(figure.own, figure), shown(figure.peer, figure))
        ratio = "" if figure.ratio is None else _rounded(figure.ratio)
        yield f"| {figure.part}: {figure.name} | {' | '.join(cells)} | {ratio} |"


def shown(value: float | None, figure: Figure) -> str:
    """A figure's value with its unit; empty if it is missing."""
    if value is None:
        return ""
    if figure.of is not None:
        return f"{value:.0f} of {figure.of}"
    match figure.unit:
        case Unit.SECONDS:
            return f"{value:.2f} s" if value >= 1 else f"{_rounded(1000 * value)} ms"
        case Unit.BYTES:
            return f"{_rounded(value / 1e6)} MB"
        case Unit.RATE | Unit.TOKENS | Unit.COUNT:
            return f"{_rounded(value)} {figure.unit}".rstrip()


def _rounded(value: float) -> str:
    """Three digits, or all that are before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
