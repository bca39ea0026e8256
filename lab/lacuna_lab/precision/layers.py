"""The error of a dtype after each layer, and how close its activations come to the largest number it can represent."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lacuna_inference.forward import Forward
from lacuna_lab.precision import probe
from lacuna_lab.precision.questions import TextWindow
from lacuna_lab.precision.study_dir import StudyDir

MAX_TOKENS = 256


@dataclass(frozen=True, slots=True)
class LayerError:
    """Layer `layer`, counted from 0. `error`: the norm of the difference over that of the reference's residual stream.

    `largest` is the largest finite magnitude of an activation, `of_limit` its share of the dtype's largest number,
    `not_finite` the number of activations that are infinite or NaN.
    """

    layer: int
    error: float
    largest: float
    of_limit: float
    not_finite: int


def keep(forward: Forward, window: TextWindow, study_dir: StudyDir) -> None:
    """Saves the reference's residual streams to `study_dir`, unless they are there."""
    if study_dir.arrays("layers") is None:
        traces = probe.trace(forward, window.ids[:MAX_TOKENS])
        study_dir.save_arrays("layers", [layer.stream.numpy() for layer in traces])


def errors(forward: Forward, window: TextWindow, study_dir: StudyDir, compute_dtype: str) -> list[LayerError]:
    """The error of each layer of a forward whose activations have the dtype `compute_dtype`."""
    limit = torch.finfo(getattr(torch, compute_dtype)).max
    found = []
    traces = probe.trace(forward, window.ids[:MAX_TOKENS])
    for number, (layer, array) in enumerate(zip(traces, study_dir.arrays("layers") or [], strict=True)):
        reference, stream = torch.from_numpy(array).double(), layer.stream.double()
        error = float((stream - reference).norm() / reference.norm())
        found.append(LayerError(number, error, layer.largest, layer.largest / limit, layer.not_finite))
    return found
