"""The figures of `lacuna replay` as a PNG chart: what is kept, and what is wrongly shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lacuna_lab.evaluation.chart import check, save
from lacuna_lab.replay.figures import ReplayRow

if TYPE_CHECKING:
    from lacuna_lab.evaluation.metrics import Interval

__all__ = ["check", "draw"]
_INCHES = (11.0, 4.5)


def draw(rows: Sequence[ReplayRow], target: Path) -> None:
    """Writes `target`. Raises BadRequest when it cannot be written."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, layout="constrained")
    kept, wrong = figure.subplots(1, 2)
    _bars(kept, rows, [row.kept for row in rows], 100.0)
    kept.set_ylabel("kept, % of characters (95 % interval over files)")
    _bars(wrong, rows, [row.wrong for row in rows], 1.0)
    wrong.set_ylabel("wrong displays per 100 keys")
    bars, names = kept.get_legend_handles_labels()
    figure.legend(bars, names, loc="outside upper center", ncols=len(names))
    save(figure, target)


def _bars(axes: Any, rows: Sequence[ReplayRow], values: Sequence[Interval], factor: float) -> None:
    """Groups of bars by language, a bar for each contestant."""
    languages = list(dict.fromkeys(row.language for row in rows))
    names = list(dict.fromkeys(row.contestant for row in rows))
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        own = [(languages.index(r.language), v) for r, v in zip(rows, values, strict=True) if r.contestant == name]
        means = [factor * value.mean for _, value in own]
        below = [factor * (value.mean - value.low) for _, value in own]
        above = [factor * (value.high - value.mean) for _, value in own]
        places = [place + width * number for place, _ in own]
        axes.bar(places, means, width, yerr=[below, above], capsize=3, label=name)
    axes.set_xticks([index + width * (len(names) - 1) / 2 for index in range(len(languages))], languages)
