"""The models that `lacuna bench decode` measures, one after the other: large ones do not fit beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from lacuna_inference.api import BUNDLED, ModelOptions
from lacuna_inference.engine import assemble
from lacuna_inference.forward import Forward
from lacuna_inference.models import loader
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.loading import memory, sources
from lacuna_lab.bench import llama_cpp
from lacuna_lab.bench.decode import HELD, DecodeSubject
from lacuna_lab.bench.shapes import SHAPES, RandomTensors

FORWARDS = ("own", "transformers")
INT8 = "int8"
_CONTEXT = HELD + 64


def groups(
    names: Sequence[str], dtype: str, device: torch.device, llama_files: Sequence[Path] = ()
) -> Iterator[list[DecodeSubject]]:
    """For each name the same weights behind both forwards; names are `bundled` or published shapes.

    Beside the bundled model stands llama.cpp with `llama_files`, its weights as GGUF.

    `dtype` may also be `int8`, which only the own forward has. A shape that does not fit the free memory twice is
    measured with the own forward alone, and left out when it does not fit once.
    """
    for name in names:
        if name == BUNDLED:
            kinds = [kind for kind in FORWARDS if kind == "own" or dtype != INT8]
            subjects = [_bundled(kind, way, dtype, device) for kind in kinds for way in _ways(kind, device)]
            yield [*subjects, *(_llama(file) for file in llama_files)]
        elif subjects := _random(name, dtype, device):
            yield subjects


def _ways(kind: str, device: torch.device) -> tuple[str, ...]:
    """On a GPU the own forward is measured as it is, too."""
    return ("auto", "none") if kind == "own" and device.type == "cuda" else ("auto",)


def _bundled(kind: str, acceleration: str, dtype: str, device: torch.device) -> DecodeSubject:
    from lacuna_inference.models import transformers_forward

    options = ModelOptions(BUNDLED, device=str(device), forward=kind, acceleration=acceleration)
    options = replace(options, quantization=INT8) if dtype == INT8 else replace(options, dtype=dtype)
    loaded = assemble.load_model(options, lambda *_: None)
    assert loaded.forward is not None
    size = memory.size_of(transformers_forward.read_config(sources.find(BUNDLED), options), _stored(dtype))
    return DecodeSubject(BUNDLED, loaded.kind, loaded.dtype, loaded.forward, size.weight_bytes, random_weights=False)


def _llama(file: Path) -> DecodeSubject:
    forward = llama_cpp.LlamaForward(llama_cpp.load(file, _CONTEXT))
    return DecodeSubject(BUNDLED, "llama.cpp", file.stem, forward, file.stat().st_size, random_weights=False)


def _random(name: str, dtype: str, device: torch.device) -> list[DecodeSubject]:
    from lacuna_inference.models.transformers_forward import TransformersForward, random_model

    computed = torch.float32 if dtype == INT8 else loader.dtype_named(dtype)
    tensors = RandomTensors(registry.tensors(SHAPES[name]), computed, device)
    free, needed = memory.available_bytes(device), tensors.bytes * memory.HEADROOM
    if free is not None and needed > free:
        return []
    read = tensors.bytes * _stored(dtype).itemsize // computed.itemsize

    def subject(kind: str, forward: Forward) -> DecodeSubject:
        return DecodeSubject(name, kind, str(_stored(dtype)).removeprefix("torch."), forward, read, random_weights=True)

    own_forward = registry.build(SHAPES[name], tensors, registry.ForwardSpec(computed, device, _CONTEXT, dtype))
    subjects = []
    for way in _ways("own", device):
        forward, kind = registry.accelerate(own_forward, way)
        subjects.append(subject(kind, forward))
    if dtype != INT8 and (free is None or 2 * needed <= free):
        subjects.append(subject("transformers", TransformersForward(random_model(SHAPES[name], computed, device))))
    return subjects


def _stored(dtype: str) -> torch.dtype:
    """The dtype that the weights are read in."""
    return torch.int8 if dtype == INT8 else loader.dtype_named(dtype)
