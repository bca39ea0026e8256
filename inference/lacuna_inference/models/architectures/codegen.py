"""CodeGen for `network.py`: parallel attention and feed-forward, partial rotary positions."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lacuna_inference.models.architectures.blocks import feed_forward, layer_norm
from lacuna_inference.models.forward.layers import ACTIVATIONS
from lacuna_inference.models.forward.network import Attention, Block, Heads, Network, rotation_table
from lacuna_inference.models.loading import frequencies
from lacuna_inference.models.loading.config import wrong_count, wrong_number
from lacuna_inference.models.loading.shards import ShardingPlan, indivisible
from lacuna_inference.models.loading.weights import Shapes, Weights, concatenated

MODEL_TYPES = frozenset({"codegen"})
_SIZES = ("n_embd", "n_layer", "n_head", "vocab_size")
_QKV_GROUPS = 4
"""The fused projection is stored in groups, one for each of the four cores that the model was trained on."""
_GROUPS_KEY = "qkv_shards"
"""Key in a shard's config: how many of these groups it has."""
_BASE = 10_000.0


def obstacle(config: dict[str, Any]) -> str | None:
    """The feature of `config` that this forward does not support, or None."""
    if (activation := config.get("activation_function", "gelu_new")) not in ACTIVATIONS:
        return f"the activation {activation}"
    return None if config.get("rotary_dim") else "attention without rotary positions"


def flaw(config: dict[str, Any]) -> str | None:
    """What is invalid in `config` for any forward, or None."""
    return wrong_count(config, _SIZES, ("rotary_dim", "n_inner")) or wrong_number(config, ("layer_norm_epsilon",))


def build(config: dict[str, Any], weights: Weights, context: int) -> Network:
    """The network of `config`, for at most `context` tokens. Raises ModelUnusable when a tensor is missing."""
    heads, groups = _heads(config), config.get(_GROUPS_KEY, _QKV_GROUPS)
    epsilon = config.get("layer_norm_epsilon", 1e-5)
    activation = config.get("activation_function", "gelu_new")
    embedding = weights.embedding("transformer.wte")
    head = weights.linear("lm_head")

    def block(at: str) -> Block:
        qkv = weights.layer(in_order(weights.take(f"{at}.attn.qkv_proj.weight"), groups))
        return Block(
            norm=layer_norm(f"{at}.ln_1", epsilon, weights),
            attention=Attention(qkv, weights.linear(f"{at}.attn.out_proj")),
            feed_forward_norm=None,
            feed_forward=feed_forward(f"{at}.mlp.fc_in", f"{at}.mlp.fc_out", activation, weights),
        )

    return Network(
        embed=lambda ids, _: embedding(ids),
        blocks=[block(f"transformer.h.{i}") for i in range(config["n_layer"])],
        norm=layer_norm("transformer.ln_f", epsilon, weights),
        head=head,
        heads=heads,
        context=context,
        rotation=rotation_table(context, frequencies.plain(_BASE, heads.rotary_dim)).to(weights.device),
    )


def sharding_plan(config: dict[str, Any], world_size: int) -> ShardingPlan | str:
    """How the weights are split into `world_size` shards, or why they cannot be: a shard has whole groups."""
    heads, inner = _heads(config), config.get("n_inner") or 4 * config["n_embd"]
    if problem := indivisible(world_size, heads=heads.n_heads, qkv_groups=_QKV_GROUPS, inner_dimensions=inner):
        return problem
    shard = {
        "n_head": heads.n_heads // world_size,
        "head_dim": heads.head_dim,
        "n_inner": inner // world_size,
        _GROUPS_KEY: _QKV_GROUPS // world_size,
    }
    return ShardingPlan({**config, **shard}, frozenset({"qkv_proj", "fc_in"}), frozenset({"out_proj", "fc_out"}))


def tensors(config: dict[str, Any]) -> Shapes:
    """Names and shapes of the tensors that a checkpoint of `config` holds."""
    width, vocabulary = config["n_embd"], config["vocab_size"]
    inner = config.get("n_inner") or 4 * width
    shapes: Shapes = {"transformer.wte.weight": (vocabulary, width)}
    biased: Shapes = {"transformer.ln_f": (width,), "lm_head": (vocabulary, width)}
    for number in range(config["n_layer"]):
        at = f"transformer.h.{number}"
        shapes |= {f"{at}.attn.qkv_proj.weight": (3 * width, width), f"{at}.attn.out_proj.weight": (width, width)}
        biased |= {f"{at}.ln_1": (width,), f"{at}.mlp.fc_in": (inner, width), f"{at}.mlp.fc_out": (width, inner)}
    for name, shape in biased.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def _heads(config: dict[str, Any]) -> Heads:
    """Published configs imply the head size by the width; a shard's config states it."""
    queries = config["n_head"]
    return Heads(
        queries, queries, config.get("head_dim") or config["n_embd"] // queries, rotary_dim=config["rotary_dim"]
    )


def in_order(fused: Tensor, groups: int = _QKV_GROUPS) -> Tensor:
    """Reorders the rows of the fused projection from queries, values, keys per group to all queries, keys, values."""
    query, value, key = fused.view(groups, 3, -1, fused.shape[1]).unbind(1)
    return concatenated([rows.reshape(-1, fused.shape[1]) for rows in (query, key, value)])
