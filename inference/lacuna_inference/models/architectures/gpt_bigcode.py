"""GPTBigCode, the architecture of SantaCoder and StarCoder 1, for `network.py`.

Learned positions, LayerNorm, biases, GELU; usually all query heads share one key/value head (Shazeer, 2019,
arXiv 1911.02150).
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from lacuna_inference.models.architectures.blocks import feed_forward, layer_norm
from lacuna_inference.models.forward.layers import ACTIVATIONS
from lacuna_inference.models.forward.linear import Linear
from lacuna_inference.models.forward.network import Attention, Block, Heads, Network
from lacuna_inference.models.loading.config import wrong_count, wrong_number
from lacuna_inference.models.loading.shards import ShardingPlan, indivisible
from lacuna_inference.models.loading.weights import Shapes, Weights

MODEL_TYPES = frozenset({"gpt_bigcode"})
_SIZES = ("n_embd", "n_layer", "n_head", "n_positions", "vocab_size")
_ACTIVATION = "gelu_pytorch_tanh"


def obstacle(config: dict[str, Any]) -> str | None:
    """The feature of `config` that this forward does not support, or None."""
    if (activation := config.get("activation_function", _ACTIVATION)) not in ACTIVATIONS:
        return f"the activation {activation}"
    return "attention to an encoder" if config.get("add_cross_attention") else None


def flaw(config: dict[str, Any]) -> str | None:
    """What is invalid in `config` for any forward, or None."""
    return wrong_count(config, _SIZES, ("n_inner",)) or wrong_number(config, ("layer_norm_epsilon",))


def build(config: dict[str, Any], weights: Weights, context: int) -> Network:
    """The network of `config`, for at most `context` tokens. Raises ModelUnusable when a tensor is missing."""
    heads, epsilon = _heads(config), config.get("layer_norm_epsilon", 1e-5)
    activation = config.get("activation_function", _ACTIVATION)
    embedding, positions = weights.embedding("transformer.wte"), weights.take("transformer.wpe.weight")
    head = weights.head("lm_head", "transformer.wte")  # first: no other layer needs more memory to be read

    def block(at: str) -> Block:
        return Block(
            norm=layer_norm(f"{at}.ln_1", epsilon, weights),
            attention=Attention(_projections(f"{at}.attn.c_attn", heads, weights), weights.linear(f"{at}.attn.c_proj")),
            feed_forward_norm=layer_norm(f"{at}.ln_2", epsilon, weights),
            feed_forward=feed_forward(f"{at}.mlp.c_fc", f"{at}.mlp.c_proj", activation, weights),
        )

    return Network(
        embed=lambda ids, at: embedding(ids) + F.embedding(at, positions),
        blocks=[block(f"transformer.h.{i}") for i in range(config["n_layer"])],
        norm=layer_norm("transformer.ln_f", epsilon, weights),
        head=head,
        heads=heads,
        context=context,
    )


def sharding_plan(config: dict[str, Any], world_size: int) -> ShardingPlan | str:
    """How the weights are split into `world_size` shards, or why they cannot be: a shard has whole key heads."""
    heads, inner = _heads(config), _inner(config)
    if problem := indivisible(world_size, heads=heads.n_heads, key_heads=heads.n_kv_heads, inner_dimensions=inner):
        return problem
    shard = {"n_head": heads.n_heads // world_size, "head_dim": heads.head_dim, "n_inner": inner // world_size}
    return ShardingPlan({**config, **shard}, frozenset({"c_attn", "c_fc"}), frozenset({"c_proj"}))


def tensors(config: dict[str, Any]) -> Shapes:
    """Names and shapes of the tensors that a checkpoint of `config` holds."""
    width, inner, heads, vocabulary = config["n_embd"], _inner(config), _heads(config), config["vocab_size"]
    qkv = (heads.n_heads + 2 * heads.n_kv_heads) * heads.head_dim
    shapes: Shapes = {"transformer.wte.weight": (vocabulary, width)}
    shapes["transformer.wpe.weight"] = (config["n_positions"], width)
    layers: Shapes = {"transformer.ln_f": (width,)}
    for number in range(config["n_layer"]):
        at = f"transformer.h.{number}"
        layers |= {f"{at}.ln_1": (width,), f"{at}.attn.c_attn": (qkv, width), f"{at}.attn.c_proj": (width, width)}
        layers |= {f"{at}.ln_2": (width,), f"{at}.mlp.c_fc": (inner, width), f"{at}.mlp.c_proj": (width, inner)}
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    if not config.get("tie_word_embeddings", True):
        shapes["lm_head.weight"] = (vocabulary, width)
    return shapes


def _heads(config: dict[str, Any]) -> Heads:
    """Published configs imply the head size by the width; a shard's config states it."""
    queries = config["n_head"]
    size = config.get("head_dim") or config["n_embd"] // queries
    scale = None if config.get("scale_attn_weights", True) else 1.0
    return Heads(queries, 1 if config.get("multi_query", True) else queries, size, scale=scale)


def _inner(config: dict[str, Any]) -> int:
    inner: int = config.get("n_inner") or 4 * config["n_embd"]
    return inner


def _projections(name: str, heads: Heads, weights: Weights) -> Linear:
    """Queries, keys and values. Without shared keys they are stored head by head: a query, a key and a value each."""
    if heads.n_kv_heads == 1:
        return weights.linear(name)
    weight, bias = (_in_order(weights.take(f"{name}.{part}"), heads) for part in ("weight", "bias"))
    return weights.layer(weight, bias)


def _in_order(rows: Tensor, heads: Heads) -> Tensor:
    """Reorders the rows from query, key, value for each head to all queries, keys, values."""
    return rows.view(heads.n_heads, 3, heads.head_dim, -1).transpose(0, 1).reshape(rows.shape)
