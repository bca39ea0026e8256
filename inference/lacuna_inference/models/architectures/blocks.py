"""Builds norms and feed-forwards from a model's tensors."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F

from lacuna_inference.models.forward import layers
from lacuna_inference.models.forward.layers import ACTIVATIONS, RmsNorm, SwiGlu
from lacuna_inference.models.forward.network import TokenwiseLayer
from lacuna_inference.models.loading.weights import Weights


def rms_norm(name: str, epsilon: float, weights: Weights) -> RmsNorm:
    return RmsNorm(weights.take(f"{name}.weight"), epsilon)


def layer_norm(name: str, epsilon: float, weights: Weights) -> TokenwiseLayer:
    """Norm with mean, scale and shift."""
    weight, bias = weights.take(f"{name}.weight"), weights.take(f"{name}.bias")
    return partial(layers.layer_norm, weight=weight, bias=bias, epsilon=epsilon)


def swiglu(gate: str, up: str, down: str, weights: Weights, activation: TokenwiseLayer = F.silu) -> SwiGlu:
    return SwiGlu(weights.linear(gate, up), weights.linear(down), activation)


def feed_forward(first: str, second: str, activation: str, weights: Weights) -> TokenwiseLayer:
    """Two linear layers with an activation between them."""
    up, down = weights.linear(first), weights.linear(second)
    return partial(layers.feed_forward, first=up, activation=ACTIVATIONS[activation], second=down)
