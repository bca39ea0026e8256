"""The table of `lacuna eval` as a PNG chart: exact match for each kind of hole, with its interval."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lacuna_inference import DISTRIBUTION
from lacuna_inference.errors import BadRequest
from lacuna_lab.evaluation.holes import HoleKind
from lacuna_lab.evaluation.report import EvaluationRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INCHES, _DOTS_PER_INCH = (9.0, 4.5), 150


def check(target: Path) -> None:
    """Raises BadRequest if `draw` could not write `target`. Callers check before measuring, which may take an hour."""
    if importlib.util.find_spec("matplotlib") is None:
        raise BadRequest("A chart needs matplotlib.", f"Install it: pip install '{DISTRIBUTION}[lab]', or matplotlib.")
    if not target.parent.is_dir():
        raise BadRequest(
            f"The chart cannot be written: there is no folder {target.parent}.", "Create it, or name another."
        )
    if target.is_dir():
        raise BadRequest(f"The chart cannot be written: {target} is a folder.", "Name a file.")


def draw(tables: Mapping[str, Sequence[EvaluationRow]], target: Path) -> None:
    """Writes `target`. Raises BadRequest when it cannot be written."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = figure.subplots()
    kinds = [kind for kind in HoleKind if any(row.kind is kind for rows in tables.values() for row in rows)]
    width = 0.8 / max(1, len(tables))
    for number, (name, rows) in enumerate(tables.items()):
        found = {row.kind: row.exact for row in rows}
        indices = [index for index, kind in enumerate(kinds) if kind in found]
        exact = [found[kinds[index]] for index in indices]
        means = [100 * interval.mean for interval in exact]
        errors = [[100 * (i.mean - i.low) for i in exact], [100 * (i.high - i.mean) for i in exact]]
        axes.bar([index + width * number for index in indices], means, width, yerr=errors, capsize=3, label=name)
    axes.set_xticks([index + width * (len(tables) - 1) / 2 for index in range(len(kinds))], kinds)
    axes.set_ylabel("exact match, % (95 % interval over files)")
    axes.legend()
    save(figure, target)


def save(figure: Figure, target: Path) -> None:
    """Writes `figure` as a PNG. Raises BadRequest when it cannot be written."""
    try:
        figure.savefig(target, dpi=_DOTS_PER_INCH, format="png")
    except OSError as error:
        raise BadRequest(f"The chart cannot be written to {target}: {error.strerror or error}.") from error
