"""The config that a GGUF file's metadata amounts to, in the terms of a config.json.

So the rest of the engine need not know where a model comes from. The keys are those of the project ggml
(docs/gguf.md) and of llama.cpp.
"""

from __future__ import annotations

import math
from typing import Any

from lacuna_inference.models.gguf.header import GgufFile

_SIZES = {
    "hidden_size": "embedding_length", "num_hidden_layers": "block_count", "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count", "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length", "max_position_embeddings": "context_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon", "norm_epsilon": "attention.layer_norm_epsilon",
    "rope_theta": "rope.freq_base", "sliding_window": "attention.sliding_window",
    "embedding_multiplier": "embedding_scale", "residual_multiplier": "residual_scale",
    "attention_multiplier": "attention.scale", "logits_scaling": "logit_scale",
}  # fmt: skip
"""Keys of a config.json, and of the metadata after the name of the architecture."""
_LONGROPE = ("rope_factors_short", "rope_factors_long")
_YARN = {"beta_fast": "yarn_beta_fast", "beta_slow": "yarn_beta_slow"}


def config_of(file: GgufFile) -> dict[str, Any]:
    """The config of the model in `file`. A key that the metadata lacks is left out."""
    name = file.architecture
    given = {key: file.metadata.get(f"{name}.{suffix}") for key, suffix in _SIZES.items()}
    config: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    config["model_type"] = name
    config["vocab_size"] = _vocabulary(file)
    config["tie_word_embeddings"] = "output.weight" not in file.tensors
    config["attention_bias"] = "blk.0.attn_output.bias" in file.tensors
    config["use_bias"] = "blk.0.ffn_up.bias" in file.tensors
    if (end := file.metadata.get("tokenizer.ggml.eos_token_id")) is not None:
        config["eos_token_id"] = end
    if (scaling := _rope_scaling(file)) is not None:
        config["rope_scaling"] = scaling
    return config


def _vocabulary(file: GgufFile) -> int:
    embedding = file.tensors.get("token_embd.weight")
    return embedding.shape[0] if embedding else len(file.metadata.get("tokenizer.ggml.tokens", ()))


def _rope_scaling(file: GgufFile) -> dict[str, Any] | None:
    if divisors := _divisors(file):
        return divisors
    at = f"{file.architecture}.rope.scaling."
    if (kind := file.metadata.get(f"{at}type", "none")) == "none":
        return None
    scaling = _rope(file) | {"rope_type": kind, "factor": file.metadata.get(f"{at}factor")}
    extra = {key: file.metadata.get(f"{at}{suffix}") for key, suffix in _YARN.items()}
    if kind == "yarn" and (factor := file.metadata.get(f"{at}attn_factor")) is not None:
        # llama.cpp multiplies YaRN's magnitude by it; a config.json's replaces that magnitude
        extra["attention_factor"] = factor * (1 + 0.1 * math.log(max(1.0, scaling["factor"] or 1.0)))
    return scaling | {key: value for key, value in extra.items() if value is not None}


def _divisors(file: GgufFile) -> dict[str, Any] | None:
    """Divisors of the frequencies that are stored as tensors: those of LongRoPE, and Llama 3.1's, worked out."""
    from lacuna_inference.models.gguf.rows import Rows  # it imports torch, which takes a second

    names = ("rope_freqs", "rope_freqs") if "rope_freqs.weight" in file.tensors else _LONGROPE
    infos = [file.tensors.get(f"{name}.weight") for name in names]
    if any(info is None for info in infos):
        return None
    short, long = (Rows(info).read().flatten().tolist() for info in infos if info is not None)
    factors = {"rope_type": "longrope", "short_factor": short, "long_factor": long}
    factor = file.metadata.get(f"{file.architecture}.rope.scaling.attn_factor", 1.0)
    return _rope(file) | factors | {"attention_factor": factor}


def _rope(file: GgufFile) -> dict[str, Any]:
    """What all kinds of scaling have."""
    given = {
        "rope_theta": file.metadata.get(f"{file.architecture}.rope.freq_base", 10_000.0),
        "original_max_position_embeddings": file.metadata.get(
            f"{file.architecture}.rope.scaling.original_context_length",
            file.metadata.get(f"{file.architecture}.context_length"),
        ),
    }
    return {key: value for key, value in given.items() if value is not None}
