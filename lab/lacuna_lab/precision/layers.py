"""How far a dtype is from the reference behind each layer, and how near its numbers come to the largest it can hold."""

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
    """Layer `layer`, counted from 0. `error`: the norm of the difference over that of the reference's stream.

    `largest` is the largest finite magnitude of an activation, `of_limit` its share of the dtype's largest number,
    `not_finite` how many activations were infinite or no number.
    """

    layer: int
    error: float
    largest: float
    of_limit: float
    not_finite: int


def keep(forward: Forward, window: TextWindow, place: StudyDir) -> None:
    """Puts the reference's streams into `place`, once."""
    if place.arrays("layers") is None:
        seen = probe.layers(forward, window.ids[:MAX_TOKENS])
        place.put_arrays("layers", [layer.stream.numpy() for layer in seen])


def errors(forward: Forward, window: TextWindow, place: StudyDir, computed: str) -> list[LayerError]:
    """A row for each layer of a forward whose activations are of the dtype `computed`."""
    limit = torch.finfo(getattr(torch, computed)).max
    found = []
    seen = probe.layers(forward, window.ids[:MAX_TOKENS])
    for number, (layer, array) in enumerate(zip(seen, place.arrays("layers") or [], strict=True)):
        reference, stream = torch.from_numpy(array).double(), layer.stream.double()
        error = float((stream - reference).norm() / reference.norm())
        found.append(LayerError(number, error, layer.largest, layer.largest / limit, layer.not_finite))
    return found
