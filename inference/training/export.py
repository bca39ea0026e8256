"""Exports a checkpoint as a folder that transformers loads: config, fp16 safetensors, tokenizer, progress."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from lacuna_inference.models.loading.sources import LANGUAGES
from training.model import Model, Shape, TrainingBlock
from training.paths import Paths
from training.tokenizer import END_OF_TEXT, token_id
from training.train import Progress, load

if TYPE_CHECKING:
    from collections.abc import Iterable

TRAINED_ON = ("python",)
"""The languages of the corpus."""


def export(paths: Paths, source: Path, target: Path, context: int, dtype: torch.dtype = torch.float16) -> Progress:
    """Exports the model of checkpoint `source` to the folder `target`; `context` is in tokens."""
    model, progress, _ = load(source)
    target.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.to(dtype).contiguous() for name, tensor in renamed(model).items()}
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    tokenizer = Tokenizer.from_file(str(paths.tokenizer))
    tokenizer.save(str(target / "tokenizer.json"), pretty=False)
    begin = token_id(tokenizer, END_OF_TEXT)
    _write(target / "config.json", config(model.shape, begin, context, dtype))
    _write(target / "generation_config.json", {"bos_token_id": begin, "eos_token_id": begin, "pad_token_id": begin})
    names = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT}
    _write(
        target / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": context,
            "clean_up_tokenization_spaces": False,
            **names,
        },
    )
    _write(target / "training.json", asdict(progress))
    return progress


def config(shape: Shape, begin: int, context: int, dtype: torch.dtype) -> dict[str, Any]:
    """The config.json of a Llama model of this shape."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_size,
        "hidden_act": "silu",
        "max_position_embeddings": context,
        "rms_norm_eps": shape.norm_epsilon,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_base},
        "rope_theta": shape.rope_base,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": begin,
        "eos_token_id": begin,
        "dtype": str(dtype).removeprefix("torch."),
        LANGUAGES: list(TRAINED_ON),
    }


def renamed(model: Model) -> dict[str, Tensor]:
    """The weights under LlamaForCausalLM's names, with fused projections split."""
    shape = model.shape
    q, kv = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    tensors = {"model.embed_tokens.weight": model.embedding.weight, "model.norm.weight": model.norm.weight}
    for number, block in enumerate(cast("Iterable[TrainingBlock]", model.blocks)):
        at = f"model.layers.{number}."
        wq, wk, wv = torch.split(block.qkv.weight, [q, kv, kv])
        gate, up = block.gate_up.weight.chunk(2)
        tensors |= {
            at + "input_layernorm.weight": block.attention_norm.weight,
            at + "self_attn.q_proj.weight": wq,
            at + "self_attn.k_proj.weight": wk,
            at + "self_attn.v_proj.weight": wv,
            at + "self_attn.o_proj.weight": block.out.weight,
            at + "post_attention_layernorm.weight": block.feed_forward_norm.weight,
            at + "mlp.gate_proj.weight": gate,
            at + "mlp.up_proj.weight": up,
            at + "mlp.down_proj.weight": block.down.weight,
        }
    return {name: tensor.detach() for name, tensor in tensors.items()}


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n")
