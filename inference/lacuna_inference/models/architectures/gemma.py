"""Gemma, the architecture of CodeGemma, for `network.py`: Llama's shape with wider heads and scaled embeddings.

Norm weights are stored as their difference from 1, and the gate of the feed-forward is a GELU.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch

from lacuna_inference.models.architectures import llama
from lacuna_inference.models.architectures.blocks import swiglu
from lacuna_inference.models.forward.layers import ACTIVATIONS, RmsNorm
from lacuna_inference.models.forward.network import Network, TokenwiseLayer
from lacuna_inference.models.loading import rotary
from lacuna_inference.models.loading.shards import ShardingPlan
from lacuna_inference.models.loading.weights import Shapes, Weights

MODEL_TYPES = frozenset({"gemma"})
_DEFAULTS = {"head_dim": 256, "tie_word_embeddings": True}
_ACTIVATION = "gelu_pytorch_tanh"


def obstacle(config: dict[str, Any]) -> str | None:
    """The feature of `config` that this forward does not support, or None."""
    if (activation := _activation(config)) not in ACTIVATIONS:
        return f"the activation {activation}"
    if config.get("use_bidirectional_attention"):
        return "attention in both directions"
    return llama.odd_heads(_complete(config)) or rotary.obstacle(config)


def flaw(config: dict[str, Any]) -> str | None:
    """What is invalid in `config` for any forward, or None."""
    return llama.flaw(_complete(config))


def build(config: dict[str, Any], weights: Weights, context: int) -> Network:
    """The network of `config`, for at most `context` tokens. Raises ModelUnusable when a tensor is missing."""
    activation = ACTIVATIONS[_activation(config)]

    def gated(at: str, weights: Weights) -> TokenwiseLayer:
        gate, up, down = (f"{at}.mlp.{name}_proj" for name in ("gate", "up", "down"))
        return swiglu(gate, up, down, weights, activation)

    network = llama.assemble(_complete(config), weights, context, _norm, gated)
    embed = network.embed
    scale = torch.tensor(math.sqrt(config["hidden_size"]), dtype=weights.dtype, device=weights.device)
    return replace(network, embed=lambda ids, at: embed(ids, at) * scale)


def sharding_plan(config: dict[str, Any], world_size: int) -> ShardingPlan | str:
    """How the weights are split into `world_size` shards, or why they cannot be."""
    return llama.sharding_plan(_complete(config), world_size)


def tensors(config: dict[str, Any]) -> Shapes:
    """Names and shapes of the tensors that a checkpoint of `config` holds."""
    return llama.tensors(_complete(config))


def _complete(config: dict[str, Any]) -> dict[str, Any]:
    """With the values that Gemma's configs may leave out, and Llama's do not have."""
    return {**_DEFAULTS, **config}


def _activation(config: dict[str, Any]) -> str:
    """The first configs said `gelu` and meant its approximation, as transformers takes them."""
    named = str(config.get("hidden_act") or _ACTIVATION)
    return _ACTIVATION if named == "gelu" else named


def _norm(name: str, epsilon: float, weights: Weights) -> RmsNorm:
    """In fp32 whatever the dtype: 1 plus a small number would lose most of that number."""
    return RmsNorm(1.0 + weights.take(f"{name}.weight").float(), epsilon)
