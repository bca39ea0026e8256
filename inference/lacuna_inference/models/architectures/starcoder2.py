"""StarCoder2 for `network.py`: LayerNorm, rotary positions, grouped-query attention, GELU, biases."""

from __future__ import annotations

from typing import Any

from lacuna_inference.models.architectures import llama
from lacuna_inference.models.architectures.blocks import feed_forward, layer_norm
from lacuna_inference.models.forward.layers import ACTIVATIONS
from lacuna_inference.models.forward.network import Attention, Block, Network
from lacuna_inference.models.loading import rotary
from lacuna_inference.models.loading.weights import Shapes, Weights

MODEL_TYPES = frozenset({"starcoder2"})
sharding_plan = llama.sharding_plan
flaw = llama.flaw


def obstacle(config: dict[str, Any]) -> str | None:
    """The feature of `config` that this forward does not support, or None."""
    if (activation := config.get("hidden_act", "gelu_pytorch_tanh")) not in ACTIVATIONS:
        return f"the activation {activation}"
    return llama.odd_heads(config) or rotary.obstacle(config)


def build(config: dict[str, Any], weights: Weights, context: int) -> Network:
    """The network of `config`, for at most `context` tokens. Raises ModelUnusable when a tensor is missing."""
    heads = llama.heads_of(config)
    epsilon = config.get("norm_epsilon", 1e-5)
    activation = config.get("hidden_act", "gelu_pytorch_tanh")
    embedding = weights.embedding("model.embed_tokens")
    head = weights.head("lm_head", "model.embed_tokens")  # first: no other layer needs more memory to be read

    def block(at: str) -> Block:
        out = weights.linear(f"{at}.self_attn.o_proj")
        return Block(
            norm=layer_norm(f"{at}.input_layernorm", epsilon, weights),
            attention=Attention(llama.projections(f"{at}.self_attn", heads, weights), out),
            feed_forward_norm=layer_norm(f"{at}.post_attention_layernorm", epsilon, weights),
            feed_forward=feed_forward(f"{at}.mlp.c_fc", f"{at}.mlp.c_proj", activation, weights),
        )

    return Network(
        embed=lambda ids, _: embedding(ids),
        blocks=[block(f"model.layers.{i}") for i in range(config["num_hidden_layers"])],
        norm=layer_norm("model.norm", epsilon, weights),
        head=head,
        heads=heads,
        context=context,
        rotation=rotary.rotation(config, heads.rotary_dim, context).to(weights.device),
    )


def tensors(config: dict[str, Any]) -> Shapes:
    """Names and shapes of the tensors that a checkpoint of `config` holds."""
    width, inner, biased = config["hidden_size"], config["intermediate_size"], config.get("use_bias", True)
    vocabulary = config["vocab_size"]
    shapes: Shapes = {"model.embed_tokens.weight": (vocabulary, width)}
    norms = ["model.norm"]
    for number in range(config["num_hidden_layers"]):
        at = f"model.layers.{number}"
        norms += [f"{at}.input_layernorm", f"{at}.post_attention_layernorm"]
        shapes |= llama.attention_tensors(f"{at}.self_attn", config, biased, biased)
        shapes |= {f"{at}.mlp.c_fc.weight": (inner, width), f"{at}.mlp.c_proj.weight": (width, inner)}
        if biased:
            shapes |= {f"{at}.mlp.c_fc.bias": (inner,), f"{at}.mlp.c_proj.bias": (width,)}
    shapes |= {f"{norm}.{part}": (width,) for norm in norms for part in ("weight", "bias")}
    if not config.get("tie_word_embeddings", True):
        shapes["lm_head.weight"] = (vocabulary, width)
    return shapes
