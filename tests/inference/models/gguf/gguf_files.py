"""Small GGUF files with a tokenizer and, if llama.cpp is to load them, the tensors of a tiny model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

WIDTH = 32


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
