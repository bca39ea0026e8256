"""Norms and feed-forwards, as the architectures need them, made of a model's tensors."""

from __future__ import annotations

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


def rms_norm(name: str, epsilon: float, weights: Weights) -> Layer:
    """Root-mean-square norm, in fp32 whatever the dtype."""
    return partial(_rms_norm, weight=weights.take(f"{name}.weight"), epsilon=epsilon)


def layer_norm(name: str, epsilon: float, weights: Weights) -> Layer:
    """Norm with mean, scale and shift."""
    weight, bias = weights.take(f"{name}.weight"), weights.take(f"{name}.bias")
    return partial(_layer_norm, weight=weight, bias=bias, epsilon=epsilon)


def swiglu(gate: str, up: str, down: str, weights: Weights) -> Layer:
    """Gated feed-forward; gate and up are one product."""
    return partial(_swiglu, gate_up=weights.linear(gate, up), down=weights.linear(down))


def feed_forward(first: str, second: str, activation: str, weights: Weights) -> Layer:
    """Two products with an activation between them."""
    return partial(
        _feed_forward, first=weights.linear(first), activation=ACTIVATIONS[activation], second=weights.linear(second)
    )


def _rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    if x.dtype is torch.float32:
        return F.rms_norm(x, (x.shape[-1],), weight, epsilon)
    return weight * F.rms_norm(x.float(), (x.shape[-1],), None, epsilon).to(x.dtype)


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    return F.layer_norm(x, (x.shape[-1],), weight, bias, epsilon)


def _swiglu(x: Tensor, gate_up: Linear, down: Linear) -> Tensor:
    gate, up = gate_up(x).chunk(2, dim=-1)
    return down(F.silu(gate) * up)


def _feed_forward(x: Tensor, first: Linear, activation: Layer, second: Linear) -> Tensor:
    return second(activation(first(x)))
