"""The times of `lacuna bench typing` as a PNG chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lacuna_lab.bench.typing_bench import TypingRow
from lacuna_lab.evaluation.chart import check, save

__all__ = ["check", "draw"]
_WIDTH, _ROW_HEIGHT = 9.0, 0.6
"""In inches."""


def draw(rows: Sequence[TypingRow], target: Path) -> None:
    """Draws each contestant's median and 95th percentile on a logarithmic scale. Raises BadRequest when it cannot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, 1.5 + _ROW_HEIGHT * len(rows)), layout="constrained")
    axes = figure.subplots()
    names = [row.name for row in rows]
    axes.barh(names, [1000 * row.p95_s for row in rows], color="lightgrey", label="95th percentile")
    axes.barh(names, [1000 * row.p50_s for row in rows], height=0.5, label="median")
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel("key to suggestion, ms")
    axes.legend()
    save(figure, target)
