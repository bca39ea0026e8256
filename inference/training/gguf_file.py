"""Writes an exported model as one GGUF file, so that llama.cpp can run the same weights as Lacuna.

The sentinels of the bundled model's layout are declared as llama.cpp's infill tokens: with its option --spm-infill it
builds `<|endoftext|> <|mask:0|> suffix <|mask:1|> prefix <|mask:2|>`, which the model knows from a few of its samples.
Lacuna's own prompt has the mark at the line's start and a header, and uses token healing. llama.cpp's pre-tokenizer
splits words slightly differently from this tokenizer; to compare token by token, send token ids.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from lacuna_inference import __version__

_INFILL = {"fim_suf": "<|mask:0|>", "fim_pre": "<|mask:1|>", "fim_mid": "<|mask:2|>", "eot": "<|endofmask|>"}
_LAYER_NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
_NAMES = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}


def write_gguf(source: Path, target: Path, half: bool) -> None:
    """Writes the exported folder `source` to the file `target`, with matrices in fp16 if `half`, otherwise in fp32."""
    config = json.loads((source / "config.json").read_text())
    writer = gguf.GGUFWriter(target, "llama")
    _write_shape(writer, config, half)
    _write_tokenizer(writer, json.loads((source / "tokenizer.json").read_text()), config)
    for name, tensor in load_file(source / "model.safetensors").items():
        matrix = tensor.ndim > 1
        writer.add_tensor(
            _renamed(name), _rotated(name, tensor, config).astype(np.float16 if half and matrix else np.float32)
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_shape(writer: gguf.GGUFWriter, config: dict[str, Any], half: bool) -> None:
    writer.add_name("lacuna")
    writer.add_version(__version__)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if half else gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _write_tokenizer(writer: gguf.GGUFWriter, tokenizer: dict[str, Any], config: dict[str, Any]) -> None:
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    special = {token["content"] for token in tokenizer["added_tokens"]}
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in tokens])
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(True)
    for key, token in _INFILL.items():
        writer.add_uint32(f"tokenizer.ggml.{key}_token_id", vocabulary[token])


def _renamed(name: str) -> str:
    """llama.cpp's name of a LlamaForCausalLM tensor."""
    if name in _NAMES:
        return _NAMES[name]
    _, _, number, rest = name.split(".", 3)
    return f"blk.{number}.{_LAYER_NAMES[rest.removesuffix('.weight')]}.weight"


def _rotated(name: str, tensor: NDArray[Any], config: dict[str, Any]) -> NDArray[Any]:
    """Query and key rows in llama.cpp's order: it rotates adjacent rows, transformers the halves of a head."""
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return tensor
    heads = config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
    rows, columns = tensor.shape
    halves = tensor.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))
