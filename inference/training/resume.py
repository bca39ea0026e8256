"""Turns an exported model into a checkpoint, to continue training from it: the inverse of `export.py`.

An export does not contain the optimizers' momenta; they are as large as the weights and recover within some hundred
steps of a new warm-up.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from training.model import Model, Shape
from training.paths import Paths
from training.train import Progress, save


def resume(paths: Paths, source: Path, overwrite: bool = False) -> Progress:
    """Writes a checkpoint with the weights of the exported folder `source`, and copies its tokenizer.

    Raises FileExistsError if there is a checkpoint, unless `overwrite` is set.
    """
    if paths.checkpoint.exists() and not overwrite:
        raise FileExistsError(f"{paths.checkpoint} exists: `train` continues from it; --force overwrites it")
    paths.root.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "tokenizer.json", paths.tokenizer)
    shape = shape_of(json.loads((source / "config.json").read_text()))
    model = Model(shape)
    model.load_state_dict(fused(load_file(source / "model.safetensors"), shape.layers))
    progress = Progress(**json.loads((source / "training.json").read_text()))
    save(paths.checkpoint, model, (), progress)
    return progress


def shape_of(config: dict[str, Any]) -> Shape:
    """The shape that a config.json written by `export.py` describes; the context may grow in further training."""
    return Shape(
        vocabulary=config["vocab_size"],
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_size=config["head_dim"],
        feed_forward=config["intermediate_size"],
        rope_base=config["rope_theta"],
        context=max(Shape().context, config["max_position_embeddings"]),
        norm_epsilon=config["rms_norm_eps"],
    )


def fused(tensors: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """LlamaForCausalLM's weights in fp32 under the names of `Model`, with projections of the same input fused."""
    weights = {"embedding.weight": tensors["model.embed_tokens.weight"], "norm.weight": tensors["model.norm.weight"]}
    for number in range(layers):
        old, new = f"model.layers.{number}.", f"blocks.{number}."
        parts = {
            "attention_norm": ["input_layernorm"],
            "qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
            "out": ["self_attn.o_proj"],
            "feed_forward_norm": ["post_attention_layernorm"],
            "gate_up": ["mlp.gate_proj", "mlp.up_proj"],
            "down": ["mlp.down_proj"],
        }
        for name, names in parts.items():
            weights[f"{new}{name}.weight"] = torch.cat([tensors[f"{old}{part}.weight"] for part in names])
    return {name: tensor.float() for name, tensor in weights.items()}
