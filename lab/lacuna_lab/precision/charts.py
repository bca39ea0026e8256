"""The charts of a study as PNG files: the distribution of the KL divergence, its course, the error of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lacuna_lab.evaluation.chart import check, save
from lacuna_lab.precision.kl_statistics import joined
from lacuna_lab.precision.study import Found

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FILES", "check", "draw"]
FILES = ("precision-kl.png", "precision-positions.png", "precision-layers.png")
_INCHES = (9.0, 4.5)
_SMALLEST = 1e-12
"""Divergences are drawn from here on: less is what is left of rounding in sums of float64."""
_BINS = 24


def draw(title: str, found: Sequence[Found], folder: Path) -> None:
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


def _distribution(axes: Axes, found: Sequence[Found]) -> None:
    """Which share of positions diverges by more."""
    for one in found:
        divergence = joined(one.windows).divergence
        values = np.sort(np.maximum(divergence[~np.isnan(divergence)], _SMALLEST))
        axes.plot(values, 1 - np.arange(len(values)) / len(values), label=one.dtype)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("KL divergence from the reference, nats")
    axes.set_ylabel("share of positions with more")


def _course(axes: Axes, found: Sequence[Found]) -> None:
    """Means of positions with about as many tokens before them."""
    for one in found:
        whole = joined(one.windows)
        kept = ~np.isnan(whole.divergence)
        place, divergence = whole.place[kept], whole.divergence[kept]
        if not len(place):
            continue
        groups = np.array_split(np.argsort(place, kind="stable"), min(_BINS, len(place)))
        means = [max(float(divergence[group].mean()), _SMALLEST) for group in groups]
        axes.plot([float(place[group].mean()) for group in groups], means, marker=".", label=one.dtype)
    axes.set_yscale("log")
    axes.set_xlabel("tokens before the position")
    axes.set_ylabel("mean KL divergence, nats")


def _layers(axes: Axes, found: Sequence[Found]) -> None:
    for one in found:
        axes.plot([row.layer for row in one.layers], [row.error for row in one.layers], marker=".", label=one.dtype)
    axes.set_yscale("log")
    axes.set_xlabel("layer")
    axes.set_ylabel("relative error of the stream behind it")
