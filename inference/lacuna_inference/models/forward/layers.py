"""Norms and feed-forwards of the engine's own forward."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from lacuna_inference.models import native
from lacuna_inference.models.forward.linear import Linear
from lacuna_inference.models.forward.network import TokenwiseLayer

MAX_ROWS = 128
"""Tokens that pass a gated feed-forward together on a CPU: the values between its layers must not become so large that
their memory is new each time. Reading a prompt took up to two thirds longer with 256."""
ACTIVATIONS: dict[str, TokenwiseLayer] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}
"""By their names in configs."""


@dataclass(frozen=True, slots=True)
class RmsNorm:
    """Root-mean-square norm, in fp32 whatever the dtype. An fp32 weight is applied before the result is narrowed."""

    weight: Tensor
    epsilon: float

    def __call__(self, x: Tensor) -> Tensor:
        if self.weight.dtype is torch.float32:
            if x.dtype is torch.float32 and x.device.type == "cpu" and not torch.compiler.is_compiling():
                ours = native.load()
                if ours is not None:
                    return ours.norm(x, self.weight, self.epsilon)
            return F.rms_norm(x.float(), (x.shape[-1],), self.weight, self.epsilon).to(x.dtype)
        return self.weight * F.rms_norm(x.float(), (x.shape[-1],), None, self.epsilon).to(x.dtype)


@dataclass(frozen=True, slots=True)
class HeadNorm:
    """Root-mean-square norm of each head of x [tokens, heads, head_dim], in fp32; the weight is [heads, head_dim]."""

    weight: Tensor
    epsilon: float

    def __call__(self, x: Tensor) -> Tensor:
        return self.weight * F.rms_norm(x.float(), (x.shape[-1],), None, self.epsilon).to(x.dtype)


@dataclass(frozen=True, slots=True)
class SwiGlu:
    """Gated feed-forward (Shazeer, 2020, arXiv 2002.05202); gate and up projections are one linear layer.

    The gate's activation is SiLU; a few models have another one.
    """

    gate_up: Linear
    down: Linear
    activation: TokenwiseLayer = F.silu

    def __call__(self, x: Tensor) -> Tensor:
        if len(x) <= MAX_ROWS or x.device.type != "cpu":
            return self._of(x)
        return torch.cat([self._of(rows) for rows in torch.split(x, MAX_ROWS)])

    def _of(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(self.activation(gate).mul_(up))


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    return F.layer_norm(x, (x.shape[-1],), weight, bias, epsilon)


def feed_forward(x: Tensor, first: Linear, activation: TokenwiseLayer, second: Linear) -> Tensor:
    return second(activation(first(x)))
