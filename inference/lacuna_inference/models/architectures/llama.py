"""Llama-shaped models for `network.py`: Llama, Mistral, Qwen2, Qwen3 and others of these model types.

RMSNorm, rotary positions stored in halves, grouped-query attention with or without biases, SwiGLU. Qwen3 normalizes
each head of the queries and keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lacuna_inference.models.architectures.blocks import rms_norm, swiglu
from lacuna_inference.models.forward.layers import HeadNorm
from lacuna_inference.models.forward.linear import Linear
from lacuna_inference.models.forward.network import Attention, Block, Heads, Network, TokenwiseLayer
from lacuna_inference.models.loading import rotary
from lacuna_inference.models.loading.config import wrong_count, wrong_number
from lacuna_inference.models.loading.shards import ShardingPlan, indivisible
from lacuna_inference.models.loading.weights import Shapes, Weights, concatenated

MakeNorm = Callable[[str, float, Weights], TokenwiseLayer]
"""Makes the norm of a name with an epsilon."""
MakeLayer = Callable[[str, Weights], TokenwiseLayer]

MODEL_TYPES = frozenset({"llama", "mistral", "qwen2", "qwen3"})
_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
_DIVIDED = frozenset({"q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "c_fc"})
_SUMMED = frozenset({"o_proj", "down_proj", "c_proj"})
"""The last of each are StarCoder2's names."""


def obstacle(config: dict[str, Any]) -> str | None:
    """The feature of `config` that this forward does not support, or None."""
    if config.get("hidden_act", "silu") != "silu":
        return f"the activation {config['hidden_act']}"
    if config.get("mlp_bias"):
        return "biases of the feed-forward"
    return odd_heads(config) or rotary.obstacle(config)


def flaw(config: dict[str, Any]) -> str | None:
    """What is invalid in `config` for any forward, or None."""
    reason = wrong_count(config, _SIZES, ("num_key_value_heads", "head_dim", "sliding_window"))
    return reason or wrong_number(config, ("rms_norm_eps", "norm_epsilon")) or rotary.flaw(config)


def build(config: dict[str, Any], weights: Weights, context: int) -> Network:
    """The network of `config`, for at most `context` tokens. Raises ModelUnusable when a tensor is missing."""
    return assemble(config, weights, context)


def assemble(
    config: dict[str, Any],
    weights: Weights,
    context: int,
    norm: MakeNorm = rms_norm,
    feed_forward: MakeLayer | None = None,
) -> Network:
    """As `build`, with other norms, or feed-forwards made from the name of their block."""
    heads, embedding = heads_of(config), weights.embedding("model.embed_tokens")
    head = weights.head("lm_head", "model.embed_tokens")  # first: no other layer needs more memory to be read
    epsilon = config.get("rms_norm_eps", 1e-6)

    def block(at: str) -> Block:
        return Block(
            norm=norm(f"{at}.input_layernorm", epsilon, weights),
            attention=Attention(
                projections(f"{at}.self_attn", heads, weights),
                weights.linear(f"{at}.self_attn.o_proj"),
                _head_norm(f"{at}.self_attn", heads, epsilon, weights) if _normalizes_heads(config) else None,
            ),
            feed_forward_norm=norm(f"{at}.post_attention_layernorm", epsilon, weights),
            feed_forward=(feed_forward or _feed_forward)(at, weights),
        )

    return Network(
        embed=lambda ids, _: embedding(ids),
        blocks=[block(f"model.layers.{i}") for i in range(config["num_hidden_layers"])],
        norm=norm("model.norm", epsilon, weights),
        head=head,
        heads=heads,
        context=context,
        rotation=rotary.rotation(config, heads.rotary_dim, context).to(weights.device),
    )


def sharding_plan(config: dict[str, Any], world_size: int) -> ShardingPlan | str:
    """How the weights are split into `world_size` shards, or why they cannot be."""
    heads, inner = heads_of(config), config["intermediate_size"]
    if problem := indivisible(world_size, heads=heads.n_heads, key_heads=heads.n_kv_heads, inner_dimensions=inner):
        return problem
    shard = {
        "num_attention_heads": heads.n_heads // world_size,
        "num_key_value_heads": heads.n_kv_heads // world_size,
        "head_dim": heads.head_dim,
        "intermediate_size": inner // world_size,
    }
    return ShardingPlan({**config, **shard}, _DIVIDED, _SUMMED)


def tensors(config: dict[str, Any]) -> Shapes:
    """Names and shapes of the tensors that a checkpoint of `config` holds."""
    width, vocabulary = config["hidden_size"], config["vocab_size"]
    inner = config["intermediate_size"]
    shapes: Shapes = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,)}
    for number in range(config["num_hidden_layers"]):
        at = f"model.layers.{number}"
        shapes |= {f"{at}.{name}.weight": (width,) for name in ("input_layernorm", "post_attention_layernorm")}
        shapes |= attention_tensors(f"{at}.self_attn", config, _has_biases(config), bool(config.get("attention_bias")))
        if _normalizes_heads(config):
            shapes |= {f"{at}.self_attn.{name}_norm.weight": (heads_of(config).head_dim,) for name in "qk"}
        shapes |= {f"{at}.mlp.{name}_proj.weight": (inner, width) for name in ("gate", "up")}
        shapes[f"{at}.mlp.down_proj.weight"] = (width, inner)
    if not config.get("tie_word_embeddings", False):
        shapes["lm_head.weight"] = (vocabulary, width)
    return shapes


def attention_tensors(at: str, config: dict[str, Any], biases: bool, out_bias: bool) -> Shapes:
    """Those of one block's attention, with `biases` of queries, keys and values, and `out_bias` of the output."""
    heads, width = heads_of(config), config["hidden_size"]
    rows = {
        "q": heads.n_heads * heads.head_dim,
        "k": heads.n_kv_heads * heads.head_dim,
        "v": heads.n_kv_heads * heads.head_dim,
    }
    shapes: Shapes = {f"{at}.{name}_proj.weight": (count, width) for name, count in rows.items()}
    shapes[f"{at}.o_proj.weight"] = (width, rows["q"])
    if biases:
        shapes |= {f"{at}.{name}_proj.bias": (count,) for name, count in rows.items()}
    if out_bias:
        shapes[f"{at}.o_proj.bias"] = (width,)
    return shapes


def odd_heads(config: dict[str, Any]) -> str | None:
    """Why the heads are not supported, or None: dimensions are rotated in pairs, and heads share keys evenly."""
    heads = heads_of(config)
    if heads.head_dim % 2 or heads.n_heads % heads.n_kv_heads:
        return f"{heads.n_heads} heads of {heads.head_dim} dimensions over {heads.n_kv_heads} key heads"
    return None


def heads_of(config: dict[str, Any]) -> Heads:
    queries = config["num_attention_heads"]
    size = config.get("head_dim") or config["hidden_size"] // queries
    return Heads(queries, config.get("num_key_value_heads") or queries, size, rotary_dim=size)


def projections(at: str, heads: Heads, weights: Weights) -> Linear:
    """Queries, keys and values as one linear layer, the rotated rows in pairs."""
    names = [f"{at}.{name}_proj" for name in "qkv"]
    weight = concatenated([weights.take(f"{name}.weight") for name in names])
    biases = [weights.take(f"{name}.bias") for name in names if f"{name}.bias" in weights]
    bias = concatenated(biases) if len(biases) == len(names) else None
    rotated = (heads.n_heads + heads.n_kv_heads) * heads.head_dim
    for tensor in (weight, bias):
        if tensor is not None:
            tensor[:rotated] = paired(tensor[:rotated], heads)
    return weights.layer(weight, bias)


def paired(rows: Tensor, heads: Heads) -> Tensor:
    """Reorders the rows of each head so that the two dimensions that are rotated together are adjacent.

    Queries and keys are reordered alike, so their dot products do not change.
    """
    halves = rows.view(-1, 2, heads.head_dim // 2, *rows.shape[1:])
    return halves.transpose(1, 2).reshape(rows.shape)


def _has_biases(config: dict[str, Any]) -> bool:
    return config.get("model_type") == "qwen2" or bool(config.get("attention_bias"))


def _normalizes_heads(config: dict[str, Any]) -> bool:
    return config.get("model_type") == "qwen3"


def _head_norm(at: str, heads: Heads, epsilon: float, weights: Weights) -> HeadNorm:
    """The norm of queries and keys, whose dimensions are reordered like those of the projections."""
    queries, keys = (paired(weights.take(f"{at}.{name}_norm.weight"), heads) for name in "qk")
    return HeadNorm(torch.stack([queries] * heads.n_heads + [keys] * heads.n_kv_heads), epsilon)


def _feed_forward(at: str, weights: Weights) -> TokenwiseLayer:
    gate, up, down = (f"{at}.mlp.{name}_proj" for name in ("gate", "up", "down"))
    return swiglu(gate, up, down, weights)
