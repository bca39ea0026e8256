"""The charts of a study as PNG files: distribution of the KL divergence, its course by position, error by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lacuna_lab.evaluation.chart import check, save
from lacuna_lab.precision.kl_statistics import concatenate
from lacuna_lab.precision.study import DtypeResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FILES", "check", "draw"]
FILES = ("precision-kl.png", "precision-positions.png", "precision-layers.png")
_INCHES = (9.0, 4.5)
_SMALLEST = 1e-12
"""Smallest divergence that is drawn: anything below is rounding in float64 sums."""
_BINS = 24


def draw(title: str, found: Sequence[DtypeResult], folder: Path) -> None:
    """Writes `FILES` into `folder`. Raises BadRequest when it cannot."""
    shown = [one for one in found if one.summary is not None]
    drawers = (_distribution, _course, _layers)
    for name, drawer in zip(FILES, drawers, strict=True):
        from matplotlib.figure import Figure

        figure = Figure(figsize=_INCHES, layout="constrained")
        axes = figure.subplots()
        drawer(axes, shown)
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
        if shown:
            axes.legend()
        save(figure, folder / name)


def _distribution(axes: Axes, found: Sequence[DtypeResult]) -> None:
    """The share of positions with a larger divergence."""
    for one in found:
        divergence = concatenate(one.windows).divergence
        values = np.sort(np.maximum(divergence[~np.isnan(divergence)], _SMALLEST))
        axes.plot(values, 1 - np.arange(len(values)) / len(values), label=one.dtype)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("KL divergence from the reference, nats")
    axes.set_ylabel("share of positions with more")


def _course(axes: Axes, found: Sequence[DtypeResult]) -> None:
    """Mean divergence by number of tokens before the position."""
    for one in found:
        whole = concatenate(one.windows)
        finite = ~np.isnan(whole.divergence)
        position, divergence = whole.place[finite], whole.divergence[finite]
        if not len(position):
            continue
        groups = np.array_split(np.argsort(position, kind="stable"), min(_BINS, len(position)))
        means = [max(float(divergence[group].mean()), _SMALLEST) for group in groups]
        axes.plot([float(position[group].mean()) for group in groups], means, marker=".", label=one.dtype)
    axes.set_yscale("log")
    axes.set_xlabel("tokens before the position")
    axes.set_ylabel("mean KL divergence, nats")


def _layers(axes: Axes, found: Sequence[DtypeResult]) -> None:
    for one in found:
        axes.plot([row.layer for row in one.layers], [row.error for row in one.layers], marker=".", label=one.dtype)
    axes.set_yscale("log")
    axes.set_xlabel("layer")
    axes.set_ylabel("relative error of the stream after it")
