"""Norms and feed-forwards, as the architectures need them, made of a model's tensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from lacuna_inference.models.linear import Linear
from lacuna_inference.models.network import Layer
from lacuna_inference.models.weights import Weights

ACTIVATIONS: dict[str, Layer] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}
"""By the names of configs."""


@dataclass(frozen=True, slots=True)
class RmsNorm:
    """Root-mean-square norm, in fp32 whatever the dtype."""

    weight: Tensor
    epsilon: float

    def __call__(self, x: Tensor) -> Tensor:
        if x.dtype is torch.float32:
            return F.rms_norm(x, (x.shape[-1],), self.weight, self.epsilon)
        return self.weight * F.rms_norm(x.float(), (x.shape[-1],), None, self.epsilon).to(x.dtype)


@dataclass(frozen=True, slots=True)
class SwiGlu:
    """Gated feed-forward; gate and up are one product."""

    gate_up: Linear
    down: Linear

    def __call__(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


def rms_norm(name: str, epsilon: float, weights: Weights) -> RmsNorm:
    return RmsNorm(weights.take(f"{name}.weight"), epsilon)


def layer_norm(name: str, epsilon: float, weights: Weights) -> Layer:
    """Norm with mean, scale and shift."""
    weight, bias = weights.take(f"{name}.weight"), weights.take(f"{name}.bias")
    return partial(_layer_norm, weight=weight, bias=bias, epsilon=epsilon)


def swiglu(gate: str, up: str, down: str, weights: Weights) -> SwiGlu:
    return SwiGlu(weights.linear(gate, up), weights.linear(down))


def feed_forward(first: str, second: str, activation: str, weights: Weights) -> Layer:
    """Two products with an activation between them."""
    return partial(
        _feed_forward, first=weights.linear(first), activation=ACTIVATIONS[activation], second=weights.linear(second)
    )


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    return F.layer_norm(x, (x.shape[-1],), weight, bias, epsilon)


def _feed_forward(x: Tensor, first: Linear, activation: Layer, second: Linear) -> Tensor:
    return second(activation(first(x)))
