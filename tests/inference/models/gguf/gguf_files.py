"""Small GGUF files with a tokenizer and, if llama.cpp is to load them, a tiny model; or with the tensors of a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file

from lacuna_inference.models.gguf.names import name_in_gguf

WIDTH = 32
F32, Q8_0 = gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.Q8_0
GRANITE = {
    "embedding_multiplier": "embedding_scale", "residual_multiplier": "residual_scale",
    "attention_multiplier": "attention.scale", "logits_scaling": "logit_scale",
}  # fmt: skip


def write_gguf(path: Path, metadata: Mapping[str, Any], with_model: bool = False) -> Path:
    """Writes what `metadata` says of the tokenizer: its keys without `tokenizer.ggml.`, or whole."""
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in metadata.items():
        _add(writer, key if "." in key else f"tokenizer.ggml.{key}", value)
    if with_model:
        _add_model(writer, len(metadata["tokenizer.ggml.tokens"]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def as_gguf(folder: Path, kind: gguf.GGMLQuantizationType = F32) -> Path:
    """The model of `folder` in a file, its matrices of the type `kind` where their rows allow it."""
    config = json.loads((folder / "config.json").read_text())
    name, target = config["model_type"], folder / "model.gguf"
    writer = gguf.GGUFWriter(target, name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    rope = config.get("rope_parameters") or {}
    writer.add_rope_freq_base(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0)
    if "rms_norm_eps" in config:
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    else:
        writer.add_layer_norm_eps(config["norm_epsilon"])
    for key, value in GRANITE.items():
        if key in config:
            writer.add_float32(f"{name}.{value}", config[key])
    if config.get("head_dim"):
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    writer.add_tokenizer_model("none")  # llama.cpp then takes ids only
    writer.add_vocab_size(config["vocab_size"])
    writer.add_token_list([str(number) for number in range(config["vocab_size"])])
    for key, tensor in load_file(folder / "model.safetensors").items():
        stored = _paired(tensor, key, config) if name in ("llama", "granite") else tensor
        stored = stored + 1 if name == "gemma" and "norm" in key else stored
        new_name = name_in_gguf(key)
        assert new_name is not None
        if kind is not F32 and stored.ndim == 2 and stored.shape[1] % 32 == 0:
            writer.add_tensor(new_name, gguf.quants.quantize(stored, kind), raw_dtype=kind)
        else:
            writer.add_tensor(new_name, stored.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _paired(tensor: Any, name: str, config: dict[str, Any]) -> Any:
    """Rows of queries and keys as llama.cpp stores them for this architecture."""
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return tensor
    heads = config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
    halves = tensor.reshape(heads, 2, len(tensor) // heads // 2, -1)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(tensor.shape))


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif value:
        writer.add_array(key, value)


def _add_model(writer: gguf.GGUFWriter, n_tokens: int) -> None:
    """One layer of zeros, just so that llama.cpp loads it."""
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tensor("token_embd.weight", np.zeros((n_tokens, WIDTH), np.float16))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((WIDTH, WIDTH), np.float16))
