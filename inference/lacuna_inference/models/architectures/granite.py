"""Granite for `network.py`: Llama's shape with multipliers of embeddings, attention, residuals and logits.

Granite 3 has the type `granite`, Granite 4 that of the hybrids. Granite 4's dense models (350M and 1B) have no Mamba
layers and no experts; their gate and up projections are stored as one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lacuna_inference.models.architectures import llama
from lacuna_inference.models.forward.layers import SwiGlu
from lacuna_inference.models.forward.network import Network, TokenwiseLayer
from lacuna_inference.models.loading.config import wrong_count, wrong_number
from lacuna_inference.models.loading.shards import ShardingPlan
from lacuna_inference.models.loading.weights import Shapes, Weights

_HYBRID = "granitemoehybrid"
MODEL_TYPES = frozenset({"granite", _HYBRID})
_MULTIPLIERS = ("embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling")
_ATTENTION = ("attention", "full_attention")


def obstacle(config: dict[str, Any]) -> str | None:
    """The feature of `config` that this forward does not support, or None."""
    if _is_hybrid(config):
        layers = config.get("layer_types") or config.get("layers_block_type")
        if not isinstance(layers, list) or not all(layer in _ATTENTION for layer in layers):
            return "Mamba layers"
        if config.get("num_local_experts", 8):
            return "experts"
    return llama.obstacle(config)


def flaw(config: dict[str, Any]) -> str | None:
    """What is invalid in `config` for any forward, or None."""
    reason = llama.flaw(config) or wrong_number(config, _MULTIPLIERS)
    return reason or (wrong_count(config, (), ("shared_intermediate_size",)) if _is_hybrid(config) else None)


def build(config: dict[str, Any], weights: Weights, context: int) -> Network:
    """The network of `config`, for at most `context` tokens. Raises ModelUnusable when a tensor is missing."""
    network = llama.assemble(config, weights, context, feed_forward=_fused if _is_hybrid(config) else None)
    embed, (embedding, attention, residual, logits) = network.embed, (config.get(m) or 1.0 for m in _MULTIPLIERS)
    return replace(
        network,
        embed=lambda ids, at: embed(ids, at) * embedding,
        heads=replace(network.heads, scale=attention),
        rotation=network.rotation if _rotates(config) else None,
        residual_scale=residual,
        logit_divisor=logits,
    )


def sharding_plan(config: dict[str, Any], world_size: int) -> ShardingPlan | str:
    """How the weights are split into `world_size` shards, or why they cannot be."""
    if _is_hybrid(config):
        return "its gate and up projections are stored as one"
    return llama.sharding_plan(config, world_size)


def tensors(config: dict[str, Any]) -> Shapes:
    """Names and shapes of the tensors that a checkpoint of `config` holds."""
    shapes = llama.tensors(config)
    if not _is_hybrid(config):
        return shapes
    width, inner = config["hidden_size"], config.get("shared_intermediate_size") or 1024
    shapes = {name: shape for name, shape in shapes.items() if ".mlp." not in name}
    for number in range(config["num_hidden_layers"]):
        at = f"model.layers.{number}.shared_mlp"
        shapes |= {f"{at}.input_linear.weight": (2 * inner, width), f"{at}.output_linear.weight": (width, inner)}
    return shapes


def _is_hybrid(config: dict[str, Any]) -> bool:
    return config.get("model_type") == _HYBRID


def _rotates(config: dict[str, Any]) -> bool:
    """Hybrids may have no positions: their Mamba layers need none."""
    return not _is_hybrid(config) or config.get("position_embedding_type") == "rope"


def _fused(at: str, weights: Weights) -> TokenwiseLayer:
    return SwiGlu(weights.linear(f"{at}.shared_mlp.input_linear"), weights.linear(f"{at}.shared_mlp.output_linear"))
