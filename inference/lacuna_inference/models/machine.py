"""Measures how fast this machine runs models: small networks with the kernels of the own forward, in some seconds.

A pass takes some time for each layer, and some for each weight. Two networks of different widths tell both.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lacuna_inference.forward import PREFILL_CHUNK, Forward
from lacuna_inference.models import bandwidth
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.architectures.registry import ForwardSpec
from lacuna_inference.models.forward.network import OwnForward
from lacuna_inference.models.forward.quantized import QUANTIZED_KERNELS
from lacuna_inference.models.loading import memory
from lacuna_inference.models.loading.sketch import ITEM_BYTES

PROMPT_TOKENS = 1000
"""Tokens of the prompt that is measured, and behind which a token is measured."""
_BYTES = 2**28
"""Weights that a token reads: more than a processor's cache holds for one program."""
_PROMPT_PARAMETERS = 50_000_000
"""About so many weights are multiplied by the prompt that is measured."""
_SHARE = 8
"""At most one part in this many of the free memory is used."""
_RUNS, _TOKENS = 4, 16
_SMALL, _LARGE = (896, 4864, 14), (2048, 11_008, 16)
"""Width, hidden width and heads of the networks: those of Qwen2.5-Coder 0.5B and 3B."""
_SMALL_FP32, _LARGE_FP32 = (384, 1024, 4), (768, 2048, 8)
"""On a CPU, only small models are kept in fp32."""
_VOCABULARY, _KEY_HEADS = 1024, 2


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that a pass takes for each layer, and for each weight of a linear layer."""

    layer_s: float
    parameter_s: float

    def of(self, layers: int, parameters: int) -> float:
        """Seconds of a pass through a network of this size."""
        return layers * self.layer_s + parameters * self.parameter_s


@dataclass(frozen=True, slots=True)
class Speed:
    """What reading a prompt of `PROMPT_TOKENS` tokens costs, and decoding one token behind it."""

    prompt: Cost
    token: Cost

    @property
    def operations_per_s(self) -> float:
        """Multiplications and additions per second of large products, in prompts."""
        return 2 * PROMPT_TOKENS / self.prompt.parameter_s


@dataclass(frozen=True, slots=True)
class Machine:
    """A device: its free memory, how many bytes it reads per second (both None if unknown), and its speed.

    `speeds` are by the type of the weights in memory, as in `ITEM_BYTES`.
    """

    device: str
    free_bytes: int | None
    bytes_per_s: float | None
    speeds: Mapping[str, Speed]


def measured(device: torch.device, types: Collection[str]) -> Machine:
    """Measures `device` with weights of each of `types`."""
    free = memory.available_bytes(device)
    speeds = {kind: _speed(kind, device, free) for kind in sorted(types)}
    return Machine(str(device), free, bandwidth.measured(device), speeds)


def _speed(kind: str, device: torch.device, free: int | None) -> Speed:
    shapes = (_SMALL_FP32, _LARGE_FP32) if kind == "float32" and device.type == "cpu" else (_SMALL, _LARGE)
    (small_size, small), (large_size, large) = (_sample(shape, kind, device, free) for shape in shapes)
    prompt, token = (_cost(small_size, small[at], large_size, large[at]) for at in range(2))
    return Speed(prompt, token)


def _cost(small_size: int, small_s: float, large_size: int, large_s: float) -> Cost:
    """From the weights of a layer of two networks, and the seconds that each takes."""
    parameter_s = max(0.0, large_s - small_s) / (large_size - small_size) or large_s / large_size
    return Cost(max(0.0, small_s - small_size * parameter_s), parameter_s)


def _sample(shape: tuple[int, int, int], kind: str, device: torch.device, free: int | None) -> tuple[int, Any]:
    """The weights of a layer of a network of this `shape`, and its seconds for a prompt and for a token."""
    config = _config(shape)
    sketch = registry.sketch(config, PROMPT_TOKENS)
    assert sketch is not None
    size = sketch.multiplied - sketch.vocabulary * sketch.width
    room = _BYTES if free is None else min(_BYTES, free // _SHARE)
    config["num_hidden_layers"] = layers = max(2, round(room / ITEM_BYTES[kind] / size))
    forward = _built(config, kind, device)
    few = max(1, min(layers, round(_PROMPT_PARAMETERS / size)))
    shallow = OwnForward(replace(forward.network, blocks=forward.network.blocks[:few]), forward.tuning)
    prompt_s = sum(map(min, zip(*(_chunk_seconds(shallow) for _ in range(_RUNS)), strict=True))) / few
    return size, (prompt_s, _token_s(registry.accelerate(forward, "auto")[0]) / layers)


def _chunk_seconds(forward: Forward) -> list[float]:
    """The seconds of each step in which a prompt is read. Of several runs, the fastest of each step counts."""
    kv_cache, seconds = forward.new_kv_cache(), []
    for start in range(0, PROMPT_TOKENS, PREFILL_CHUNK):
        begun = time.perf_counter()
        _done(forward.step([1] * min(PREFILL_CHUNK, PROMPT_TOKENS - start), kv_cache))
        seconds.append(time.perf_counter() - begun)
    return seconds


def _token_s(forward: Forward) -> float:
    """Seconds of the fastest of some tokens behind a prompt."""
    kv_cache = forward.new_kv_cache()
    forward.step([1] * PREFILL_CHUNK, kv_cache)
    seconds = []
    for _ in range(_TOKENS):
        begun = time.perf_counter()
        _done(forward.step([1], kv_cache))
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def _done(logits: Tensor) -> None:
    """Waits until a device has computed `logits`."""
    float(logits[-1, 0])


def _built(config: dict[str, Any], kind: str, device: torch.device) -> OwnForward:
    quantization = kind if kind in QUANTIZED_KERNELS else "none"
    dtype = torch.float32 if kind in QUANTIZED_KERNELS else getattr(torch, kind)
    spec = ForwardSpec(dtype, device, PROMPT_TOKENS + _TOKENS, quantization)
    return registry.build(config, _Ones(registry.tensors(config)), spec)


def _config(shape: tuple[int, int, int]) -> dict[str, Any]:
    width, hidden, heads = shape
    return {
        "model_type": "qwen2", "vocab_size": _VOCABULARY, "hidden_size": width, "intermediate_size": hidden,
        "num_hidden_layers": 1, "num_attention_heads": heads, "num_key_value_heads": _KEY_HEADS,
        "tie_word_embeddings": False,
    }  # fmt: skip


class _Ones(Mapping[str, Tensor]):
    """Tensors of these shapes that take no memory until they are copied; what is in them costs no time."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = shapes

    def __getitem__(self, name: str) -> Tensor:
        return torch.ones(1).expand(self._shapes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)
