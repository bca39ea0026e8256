"""XGLM, the architecture of InCoder, for `network.py`: sinusoidal positions, LayerNorm, biases, GELU."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lacuna_inference.models.architectures.blocks import feed_forward, layer_norm
from lacuna_inference.models.forward.layers import ACTIVATIONS
from lacuna_inference.models.forward.network import Attention, Block, Heads, Network
from lacuna_inference.models.loading.config import wrong_count
from lacuna_inference.models.loading.shards import ShardingPlan, indivisible
from lacuna_inference.models.loading.weights import Shapes, Weights

MODEL_TYPES = frozenset({"xglm"})
_SIZES = ("d_model", "num_layers", "attention_heads", "ffn_dim", "vocab_size")
_OFFSET = 2
"""The first position, a convention of fairseq."""
_EPSILON = 1e-5


def obstacle(config: dict[str, Any]) -> str | None:
    """The feature of `config` that this forward does not support, or None."""
    activation = config.get("activation_function", "gelu")
    return None if activation in ACTIVATIONS else f"the activation {activation}"


def flaw(config: dict[str, Any]) -> str | None:
    """What is invalid in `config` for any forward, or None."""
    return wrong_count(config, _SIZES)


def build(config: dict[str, Any], weights: Weights, context: int) -> Network:
    """The network of `config`, for at most `context` tokens. Raises ModelUnusable when a tensor is missing."""
    width, heads = config["d_model"], _heads(config)
    embedding = weights.embedding("model.embed_tokens")
    head = weights.head("lm_head", "model.embed_tokens")
    scale = math.sqrt(width) if config.get("scale_embedding", True) else 1.0
    positions = sinusoids(context + _OFFSET, width).to(weights.device, weights.dtype)
    activation = config.get("activation_function", "gelu")

    def block(at: str) -> Block:
        qkv = weights.linear(*(f"{at}.self_attn.{name}_proj" for name in "qkv"))
        return Block(
            norm=layer_norm(f"{at}.self_attn_layer_norm", _EPSILON, weights),
            attention=Attention(qkv, weights.linear(f"{at}.self_attn.out_proj")),
            feed_forward_norm=layer_norm(f"{at}.final_layer_norm", _EPSILON, weights),
            feed_forward=feed_forward(f"{at}.fc1", f"{at}.fc2", activation, weights),
        )

    return Network(
        embed=lambda ids, at: embedding(ids) * scale + positions[at + _OFFSET],
        blocks=[block(f"model.layers.{i}") for i in range(config["num_layers"])],
        norm=layer_norm("model.layer_norm", _EPSILON, weights),
        head=head,
        heads=heads,
        context=context,
    )


def sharding_plan(config: dict[str, Any], world_size: int) -> ShardingPlan | str:
    """How the weights are split into `world_size` shards, or why they cannot be."""
    heads, inner = _heads(config), config["ffn_dim"]
    if problem := indivisible(world_size, heads=heads.n_heads, inner_dimensions=inner):
        return problem
    shard = {
        "attention_heads": heads.n_heads // world_size,
        "head_dim": heads.head_dim,
        "ffn_dim": inner // world_size,
    }
    return ShardingPlan(
        {**config, **shard}, frozenset({"q_proj", "k_proj", "v_proj", "fc1"}), frozenset({"out_proj", "fc2"})
    )


def tensors(config: dict[str, Any]) -> Shapes:
    """Names and shapes of the tensors that a checkpoint of `config` holds."""
    width, inner = config["d_model"], config["ffn_dim"]
    shapes: Shapes = {"model.embed_tokens.weight": (config["vocab_size"], width)}
    layers: Shapes = {"model.layer_norm": (width,)}
    for number in range(config["num_layers"]):
        at = f"model.layers.{number}"
        layers |= {f"{at}.self_attn.{name}_proj": (width, width) for name in ("q", "k", "v", "out")}
        layers |= {f"{at}.{name}": (width,) for name in ("self_attn_layer_norm", "final_layer_norm")}
        layers |= {f"{at}.fc1": (inner, width), f"{at}.fc2": (width, inner)}
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def _heads(config: dict[str, Any]) -> Heads:
    """Published configs imply the head size by the width; a shard's config states it."""
    queries = config["attention_heads"]
    return Heads(queries, queries, config.get("head_dim") or config["d_model"] // queries)


def sinusoids(count: int, width: int) -> Tensor:
    """XGLM's position embeddings: all sines, then all cosines; float32 [count, width]."""
    frequencies = torch.exp(
        torch.arange(width // 2, dtype=torch.int64).float() * -(math.log(10_000) / (width // 2 - 1))
    )
    angles = torch.arange(count, dtype=torch.int64).float()[:, None] * frequencies[None]
    return F.pad(torch.cat((angles.sin(), angles.cos()), dim=1), (0, width % 2))
