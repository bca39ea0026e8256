"""The steps of `lacuna bench accelerations` as a PNG: what each takes off the time of a key."""

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
_LEFT, _FALLS, _RISES, _OTHER, _WRONG = "#c9d3df", "#2a9d5c", "#d1603d", "#8fa3bd", "#b00020"


def draw(rows: Sequence[AccelerationRow], about: About, target: Path) -> None:
    """Mean milliseconds of a key, logarithmic, falling from step to step. Raises BadRequest when it cannot."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    shown = [row for row in rows if row.group in (Group.LADDER, Group.INSTEAD)]
    figure = Figure(figsize=(_WIDTH, 1.6 + _ROW_HEIGHT * len(shown)), layout="constrained")
    axes: Axes = figure.subplots()
    measured = [row.figures for row in shown if row.figures is not None]
    lowest = min(1000 * found.mean_s for found in measured) / 3
    _bars(axes, shown, measured[0], lowest)
    axes.set_xscale("log")
    axes.set_xlim(lowest, 6 * max(1000 * found.mean_s for found in measured))  # room for the labels
    axes.set_yticks(range(len(shown)), [_name(row) for row in shown])
    axes.invert_yaxis()
    axes.set_xlabel("ms a key, mean (logarithmic)")
    axes.set_title(f"What makes it faster, each on top of the steps above: {about.title}", fontsize=11)
    colours = {"spared": _FALLS, "added": _RISES, "what is left": _LEFT, "instead, with everything on": _OTHER}
    patches = [Patch(color=colour, label=label) for label, colour in colours.items()]
    figure.legend(handles=patches, loc="outside lower right", ncols=len(patches), fontsize=8, frameon=False)
    save(figure, target)


def _bars(axes: Axes, rows: Sequence[AccelerationRow], first: AccelerationFigures, lowest: float) -> None:
    """A bar for each row, with what the step before it took; `lowest` is where they begin, in ms."""
    before = 1000 * first.mean_s
    for place, row in enumerate(rows):
        if row.figures is None:
            axes.text(lowest * 1.05, place, f"does not apply: {row.why_not}", va="center", color="grey", fontsize=8)
            continue
        here = 1000 * row.figures.mean_s
        ladder = row.group is Group.LADDER
        axes.barh(place, min(here, before) - lowest, left=lowest, color=_LEFT if ladder else _OTHER)
        if ladder and here != before:
            axes.barh(place, abs(before - here), left=min(here, before), color=_FALLS if here < before else _RISES)
        elif here > before:
            axes.barh(place, here - before, left=before, color=_OTHER)
        label = f"{milliseconds(row.figures.mean_s)} ms  {times(first.mean_s / row.figures.mean_s)}"
        colour = _WRONG if row.broken else "black"
        axes.text(max(here, before if ladder else here) * 1.08, place, label, va="center", fontsize=9, color=colour)
        before = here if ladder else before


def _name(row: AccelerationRow) -> str:
    if row.broken:
        return f"{row.name} †"
    sign = "" if row.exact else " *"
    return f"{'+ ' if row.group is Group.LADDER else 'instead: '}{row.name}{sign}"
