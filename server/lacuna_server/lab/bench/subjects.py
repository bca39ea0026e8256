"""The models that `lacuna bench decode` measures, one after the other: large ones do not fit beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from lacuna_inference.api import BUNDLED, ModelOptions
from lacuna_inference.models import loader, memory, own, sources
from lacuna_inference.models.loader import ReadingForward
from lacuna_server.lab.bench.decode import HELD, Subject
from lacuna_server.lab.bench.shapes import SHAPES, RandomTensors

FORWARDS = ("own", "transformers")
_CONTEXT = HELD + 64


def groups(names: Sequence[str], dtype: str, device: torch.device) -> Iterator[list[Subject]]:
    """For each name the same weights behind both forwards; names are `bundled` or published shapes.

    A shape that does not fit the free memory twice is measured with the own forward alone, and left out when it does
    not fit once.
    """
    for name in names:
        if name == BUNDLED:
            yield [_bundled(kind, dtype, device) for kind in FORWARDS]
        elif subjects := _random(name, loader.dtype_named(dtype), device):
            yield subjects


def _bundled(kind: str, dtype: str, device: torch.device) -> Subject:
    options = ModelOptions(BUNDLED, device=str(device), dtype=dtype, forward=kind)
    loaded = loader.load(options, lambda *_: None)
    assert loaded.forward is not None
    size = memory.size_of(loader.read_config(sources.find(BUNDLED), options), loader.dtype_named(dtype))
    return Subject(BUNDLED, kind, loaded.dtype, loaded.forward, size.weight_bytes, random_weights=False)


def _random(name: str, dtype: torch.dtype, device: torch.device) -> list[Subject]:
    from lacuna_inference.models.library import LibraryForward, random_model

    described = random_model(SHAPES[name], dtype, torch.device("meta"))
    tensors = RandomTensors(described, dtype, device)
    free, needed = memory.available_bytes(device), tensors.bytes * memory.HEADROOM
    if free is not None and needed > free:
        return []
    shown = str(dtype).removeprefix("torch.")

    def subject(kind: str, forward: ReadingForward) -> Subject:
        return Subject(name, kind, shown, forward, tensors.bytes, random_weights=True)

    subjects = [subject("own", own.build(described.config.to_dict(), tensors, dtype, device, _CONTEXT))]
    if free is None or 2 * needed <= free:
        subjects.append(subject("transformers", LibraryForward(random_model(SHAPES[name], dtype, device))))
    return subjects
