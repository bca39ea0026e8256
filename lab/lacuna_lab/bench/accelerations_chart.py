"""The steps of `lacuna bench accelerations` as a PNG chart: how much each shortens the time of a keystroke."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lacuna_lab.bench.accelerations import AccelerationFigures, AccelerationRow
from lacuna_lab.bench.accelerations_steps import Group
from lacuna_lab.bench.accelerations_table import About, milliseconds, times
from lacuna_lab.evaluation.chart import check, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["check", "draw"]
_WIDTH, _ROW_HEIGHT = 11.0, 0.42
"""In inches."""
_REMAINING, _SAVED, _ADDED, _ALTERNATIVE, _BROKEN = "#c9d3df", "#2a9d5c", "#d1603d", "#8fa3bd", "#b00020"


def draw(rows: Sequence[AccelerationRow], about: About, target: Path) -> None:
    """Draws mean milliseconds a keystroke on a logarithmic scale, step by step. Raises BadRequest when it cannot."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    shown = [row for row in rows if row.group in (Group.LADDER, Group.INSTEAD)]
    figure = Figure(figsize=(_WIDTH, 1.6 + _ROW_HEIGHT * len(shown)), layout="constrained")
    axes: Axes = figure.subplots()
    measured = [row.figures for row in shown if row.figures is not None]
    lowest = min(1000 * figures.mean_s for figures in measured) / 3
    _bars(axes, shown, measured[0], lowest)
    axes.set_xscale("log")
    axes.set_xlim(lowest, 6 * max(1000 * figures.mean_s for figures in measured))  # room for the labels
    axes.set_yticks(range(len(shown)), [_name(row) for row in shown])
    axes.invert_yaxis()
    axes.set_xlabel("ms per keystroke, mean (logarithmic)")
    axes.set_title(f"Accelerations, each on top of the steps above: {about.title}", fontsize=11)
    colors = {
        "saved": _SAVED,
        "added": _ADDED,
        "remaining": _REMAINING,
        "alternative, with everything on": _ALTERNATIVE,
    }
    patches = [Patch(color=color, label=label) for label, color in colors.items()]
    figure.legend(handles=patches, loc="outside lower right", ncols=len(patches), fontsize=8, frameon=False)
    save(figure, target)


def _bars(axes: Axes, rows: Sequence[AccelerationRow], first: AccelerationFigures, lowest: float) -> None:
    """A bar for each row, beside the time of the step before it. The bars begin at `lowest` ms."""
    previous = 1000 * first.mean_s
    for y, row in enumerate(rows):
        if row.figures is None:
            axes.text(lowest * 1.05, y, f"does not apply: {row.why_not}", va="center", color="grey", fontsize=8)
            continue
        current = 1000 * row.figures.mean_s
        ladder = row.group is Group.LADDER
        axes.barh(y, min(current, previous) - lowest, left=lowest, color=_REMAINING if ladder else _ALTERNATIVE)
        if ladder and current != previous:
            color = _SAVED if current < previous else _ADDED
            axes.barh(y, abs(previous - current), left=min(current, previous), color=color)
        elif current > previous:
            axes.barh(y, current - previous, left=previous, color=_ALTERNATIVE)
        label = f"{milliseconds(row.figures.mean_s)} ms  {times(first.mean_s / row.figures.mean_s)}"
        color = _BROKEN if row.broken else "black"
        axes.text(max(current, previous if ladder else current) * 1.08, y, label, va="center", fontsize=9, color=color)
        previous = current if ladder else previous


def _name(row: AccelerationRow) -> str:
    if row.broken:
        return f"{row.name} †"
    mark = "" if row.exact else " *"
    return f"{'+ ' if row.group is Group.LADDER else 'instead: '}{row.name}{mark}"
