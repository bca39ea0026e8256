"""The config that a GGUF file's metadata amounts to, in the terms of a config.json.

So the rest of the engine need not know where a model comes from. The keys are those of the project ggml
(docs/gguf.md) and of llama.cpp.
"""

from __future__ import annotations

from typing import Any

from lacuna_inference.models.gguf.header import GgufFile

_MODEL_TYPES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "starcoder2": "starcoder2", "granite": "granite"}
"""Architectures that the own forward may run, by their names in GGUF files."""
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
_YARN = {"beta_fast": "yarn_beta_fast", "beta_slow": "yarn_beta_slow", "attention_factor": "attn_factor"}


def config_of(file: GgufFile) -> dict[str, Any]:
    """The config of the model in `file`. A key that the metadata lacks is left out."""
    name = file.architecture
    given = {key: file.metadata.get(f"{name}.{suffix}") for key, suffix in _SIZES.items()}
    config: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    config["model_type"] = _MODEL_TYPES.get(name, name)
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
    at = f"{file.architecture}.rope.scaling."
    kind = file.metadata.get(f"{at}type", "none")
    if "rope_freqs.weight" in file.tensors:
        return {"rope_type": "frequencies of the file"}
    if kind == "none":
        return None
    scaling = {"rope_type": kind, "factor": file.metadata.get(f"{at}factor")}
    scaling["rope_theta"] = file.metadata.get(f"{file.architecture}.rope.freq_base", 10_000.0)
    if (original := file.metadata.get(f"{at}original_context_length")) is not None:
        scaling["original_max_position_embeddings"] = original
    extra = {key: file.metadata.get(f"{at}{suffix}") for key, suffix in _YARN.items()}
    return scaling | {key: value for key, value in extra.items() if value is not None}
