"""Estimates the memory of a model's forward from its shape alone; nothing is loaded."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch

from lacuna_inference.forward import PREFILL_CHUNK, cached_logits
from lacuna_inference.models.forward.linear import MAX_TWO_LAYOUTS_BYTES, layouts_kept
from lacuna_inference.models.forward.network import Heads
from lacuna_inference.models.forward.quantized import GROUP, QUANTIZED_KERNELS

ITEM_BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "int8": 1.0, "int4": 0.5 + 2 * 2 / GROUP}
"""Bytes of a weight of a linear layer; for 4 bits including the scales and offsets of the groups."""
_COMPUTED = dict.fromkeys(QUANTIZED_KERNELS, "float32")
"""The dtype of the rest of a model and of its KV cache, if that is not the weights' dtype."""
_SCALE_BYTES = 2
"""Bytes of the scale of each output of an 8-bit layer."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """The sizes of a network.

    `multiplied` parameters are in linear layers, which have `outputs` outputs in all. A `tied` head shares the
    embedding's weight. `widest` is the widest output of a linear layer except the head.
    """

    parameters: int
    multiplied: int
    outputs: int
    tied: bool
    vocabulary: int
    width: int
    widest: int
    layers: int
    heads: Heads
    own: bool = True
    """Whether the own forward runs it; otherwise transformers does, which keeps the weights as they are."""

    def weight_bytes(self, dtype: str) -> int:
        """Bytes of all parameters, each once. Only linear layers are quantized, with their scales."""
        scales = self.outputs * _SCALE_BYTES if dtype == "int8" else 0
        return self._product_bytes(dtype) + scales + self._others * _item(dtype)

    def resident_bytes(self, dtype: str, kind: str, kernels: Collection[str] | None = None) -> int:
        """Bytes of the weights once they are loaded on a device of this `kind` (cpu, cuda, mps).

        On a CPU, linear layers are kept in the layouts that their kernels read; small models may have two. `kernels`
        are the names of the selected ones; None counts the most that there may be. A tied embedding is kept once more
        if the kernels have a layout of their own, because tokens' rows are looked up in it.
        """
        if kind != "cpu" or not self.own:
            return self.weight_bytes(dtype)
        product_bytes = self._product_bytes(dtype)
        if kernels is None:
            kernels = (dtype,) if dtype in QUANTIZED_KERNELS else layouts_kept(getattr(torch, dtype), product_bytes)
        shared = "plain" in kernels or ("columns" in kernels and product_bytes > MAX_TWO_LAYOUTS_BYTES)
        layouts = (shared or "columns" in kernels) + ("packed" in kernels) + (dtype in kernels)
        embedding = self.width * self.vocabulary * _item(dtype) if self.tied and not shared else 0
        return self.weight_bytes(dtype) + embedding + (layouts - 1) * product_bytes

    def kv_bytes(self, dtype: str) -> int:
        """Bytes of keys and values of one token."""
        return self.layers * 2 * self.heads.n_kv_heads * self.heads.head_dim * _item(dtype)

    def activation_bytes(self, dtype: str, context: int) -> int:
        """Peak bytes of activations while a prompt is read in chunks, roughly, plus the cached logits.

        The own forward's attention holds no scores; the library's may hold three copies of a layer's.
        """
        chunk, item = min(PREFILL_CHUNK, context), _item(dtype)
        qkv = (self.heads.n_heads + 2 * self.heads.n_kv_heads) * self.heads.head_dim
        passing = chunk * (4 * self.width + 2 * qkv + 3 * self.widest) * item
        mask = chunk * context * (1 + item)
        scores = 0 if self.own else 3 * self.heads.n_heads * chunk * context * item
        logits = self.vocabulary * item
        return passing + mask + scores + (cached_logits(logits) + 1) * logits

    def _product_bytes(self, dtype: str) -> int:
        return round(self.multiplied * ITEM_BYTES[dtype])

    @property
    def _others(self) -> int:
        """Parameters outside of linear layers; a tied embedding is inside one."""
        return self.parameters - self.multiplied


def _item(dtype: str) -> int:
    return int(ITEM_BYTES[_COMPUTED.get(dtype, dtype)])
