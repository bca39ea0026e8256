"""The models that `lacuna bench decode` measures, one after the other because large ones do not fit together."""

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
from lacuna_lab.bench.decode import CACHED_TOKENS, DecodeSubject
from lacuna_lab.bench.shapes import SHAPES, RandomTensors

FORWARDS = ("own", "transformers")
INT8 = "int8"
_CONTEXT = CACHED_TOKENS + 64


def groups(
    names: Sequence[str], dtype: str, device: torch.device, llama_files: Sequence[Path] = ()
) -> Iterator[list[DecodeSubject]]:
    """For each name, which is `bundled` or a published shape, the same weights under both forwards.

    The bundled model is also run by llama.cpp with each of `llama_files`, its weights as GGUF.

    `dtype` may also be `int8`, which only the own forward supports. A shape that does not fit twice into the free
    memory is measured with the own forward only, and skipped when it does not fit once.
    """
    for name in names:
        if name == BUNDLED:
            kinds = [kind for kind in FORWARDS if kind == "own" or dtype != INT8]
            subjects = [_bundled(kind, mode, dtype, device) for kind in kinds for mode in _accelerations(kind, device)]
            yield [*subjects, *(_llama(file) for file in llama_files)]
        elif subjects := _random(name, dtype, device):
            yield subjects


def _accelerations(kind: str, device: torch.device) -> tuple[str, ...]:
    """Accelerations to measure. On a GPU the own forward is also measured without one."""
    return ("auto", "none") if kind == "own" and device.type == "cuda" else ("auto",)


def _bundled(kind: str, acceleration: str, dtype: str, device: torch.device) -> DecodeSubject:
    from lacuna_inference.models import transformers_forward

    options = ModelOptions(BUNDLED, device=str(device), forward=kind, acceleration=acceleration)
    options = replace(options, quantization=INT8) if dtype == INT8 else replace(options, dtype=dtype)
    loaded = assemble.load_model(options, lambda *_: None)
    assert loaded.forward is not None
    size = memory.size_of(transformers_forward.read_config(sources.find(BUNDLED), options), _stored_dtype(dtype))
    return DecodeSubject(BUNDLED, loaded.kind, loaded.dtype, loaded.forward, size.weight_bytes, random_weights=False)


def _llama(file: Path) -> DecodeSubject:
    forward = llama_cpp.LlamaForward(llama_cpp.load(file, _CONTEXT))
    return DecodeSubject(BUNDLED, "llama.cpp", file.stem, forward, file.stat().st_size, random_weights=False)


def _random(name: str, dtype: str, device: torch.device) -> list[DecodeSubject]:
    from lacuna_inference.models.transformers_forward import TransformersForward, random_model

    compute_dtype = torch.float32 if dtype == INT8 else loader.dtype_named(dtype)
    tensors = RandomTensors(registry.tensors(SHAPES[name]), compute_dtype, device)
    free, needed = memory.available_bytes(device), tensors.bytes * memory.HEADROOM
    if free is not None and needed > free:
        return []
    stored = _stored_dtype(dtype)
    weight_bytes = tensors.bytes * stored.itemsize // compute_dtype.itemsize

    def subject(kind: str, forward: Forward) -> DecodeSubject:
        stored_name = str(stored).removeprefix("torch.")
        return DecodeSubject(name, kind, stored_name, forward, weight_bytes, random_weights=True)

    own_forward = registry.build(SHAPES[name], tensors, registry.ForwardSpec(compute_dtype, device, _CONTEXT, dtype))
    subjects = []
    for mode in _accelerations("own", device):
        forward, kind = registry.accelerate(own_forward, mode)
        subjects.append(subject(kind, forward))
    if dtype != INT8 and (free is None or 2 * needed <= free):
        subjects.append(subject("transformers", TransformersForward(random_model(SHAPES[name], compute_dtype, device))))
    return subjects


def _stored_dtype(dtype: str) -> torch.dtype:
    """The dtype in which the weights are read."""
    return torch.int8 if dtype == INT8 else loader.dtype_named(dtype)
