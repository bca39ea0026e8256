"""The shapes of published models, with random weights: speed does not depend on what a model has learned."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from lacuna_inference.models.loading.weights import Shapes

SHAPES: dict[str, dict[str, Any]] = {
    "CodeGen-350M": {
        "model_type": "codegen", "n_embd": 1024, "n_layer": 20, "n_head": 16, "rotary_dim": 32, "vocab_size": 51200,
    },
    "CodeGen-2B": {
        "model_type": "codegen", "n_embd": 2560, "n_layer": 32, "n_head": 32, "rotary_dim": 64, "vocab_size": 51200,
    },
    "CodeGen-6B": {
        "model_type": "codegen", "n_embd": 4096, "n_layer": 33, "n_head": 16, "rotary_dim": 64, "vocab_size": 51200,
    },
    "CodeGen-16B": {
        "model_type": "codegen", "n_embd": 6144, "n_layer": 34, "n_head": 24, "rotary_dim": 64, "vocab_size": 51200,
    },
    "InCoder-1B": {
        "model_type": "xglm", "d_model": 2048, "num_layers": 24, "attention_heads": 32, "ffn_dim": 8192,
        "vocab_size": 50518, "max_position_embeddings": 2048,
    },
    "InCoder-6B": {
        "model_type": "xglm", "d_model": 4096, "num_layers": 32, "attention_heads": 32, "ffn_dim": 16384,
        "vocab_size": 50518, "max_position_embeddings": 2048,
    },
    "Qwen2.5-Coder-1.5B": {
        "model_type": "qwen2", "hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12,
        "num_key_value_heads": 2, "intermediate_size": 8960, "vocab_size": 151936, "tie_word_embeddings": True,
    },
    "Qwen2.5-Coder-7B": {
        "model_type": "qwen2", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": False,
    },
}  # fmt: skip
"""Taken from the configs of the published models."""


class RandomTensors(Mapping[str, Tensor]):
    """Random tensors of the given names and shapes, each created on access."""

    def __init__(self, shapes: Shapes, dtype: torch.dtype, device: torch.device) -> None:
        self._shapes, self._dtype, self._device = shapes, dtype, device
        self.bytes = sum(map(math.prod, shapes.values())) * dtype.itemsize

    def __getitem__(self, name: str) -> Tensor:
        tensor = torch.empty(self._shapes[name], dtype=self._dtype, device=self._device)
        return tensor.normal_(std=0.02)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)
