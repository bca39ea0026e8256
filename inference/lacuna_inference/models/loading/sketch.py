"""What the own forward of a model takes, told from its shape alone: nothing is loaded."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch

from lacuna_inference.forward import MAX_CACHED_LOGITS, PREFILL_CHUNK
from lacuna_inference.models.forward.linear import GROUP, MAX_TWO_LAYOUTS_BYTES, QUANTIZED_KERNELS, layouts_kept
from lacuna_inference.models.forward.network import Heads

ITEM_BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "int8": 1.0, "int4": 0.5 + 2 * 2 / GROUP}
"""Bytes of a weight in a product; those of four bits with the scales and offsets of their groups."""
_COMPUTED = dict.fromkeys(QUANTIZED_KERNELS, "float32")
"""What the rest of a model is kept in, and its KV cache, where that is not the weights' dtype."""
_SCALE_BYTES = 2
"""Of each output of a product of eight bits."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """A network by its numbers.

    `multiplied` parameters stand in products, which have `outputs` outputs in all; a `tied` head multiplies the
    embedding. `widest` is the widest output of a product but the head.
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
    """Whether the own forward runs it; else it is transformers, which keeps the weights as they are."""

    def weight_bytes(self, dtype: str) -> int:
        """Bytes of all parameters, each once. Only what stands in products has few bits, with its scales."""
        scales = self.outputs * _SCALE_BYTES if dtype == "int8" else 0
        return self._product_bytes(dtype) + scales + self._others * _item(dtype)

    def resident_bytes(self, dtype: str, kind: str, ways: Collection[str] | None = None) -> int:
        """Bytes that the weights take once they are loaded on a device of this `kind` (cpu, cuda, mps).

        On a CPU products are kept in the order that they are read in, small models perhaps in two. `ways` are the names
        of those that were chosen; before that is known, as many as there may be. A tied embedding is kept once more
        where a product has an order of its own, because a token's row is looked up in it.
        """
        if kind != "cpu" or not self.own:
            return self.weight_bytes(dtype)
        product_bytes = self._product_bytes(dtype)
        if ways is None:
            ways = (dtype,) if dtype in QUANTIZED_KERNELS else layouts_kept(getattr(torch, dtype), product_bytes)
        shared = "plain" in ways or ("columns" in ways and product_bytes > MAX_TWO_LAYOUTS_BYTES)
        orders = (shared or "columns" in ways) + ("packed" in ways) + (dtype in ways)
        embedding = self.width * self.vocabulary * _item(dtype) if self.tied and not shared else 0
        return self.weight_bytes(dtype) + embedding + (orders - 1) * product_bytes

    def kv_bytes(self, dtype: str) -> int:
        """Bytes of keys and values of one token."""
        return self.layers * 2 * self.heads.n_kv_heads * self.heads.head_dim * _item(dtype)

    def activation_bytes(self, dtype: str, context: int) -> int:
        """About the most that is held for a moment while a prompt is read, a chunk at a time, and the logits that are
        kept. The own forward's attention holds no scores; the library's may hold three copies of a layer's."""
        chunk, item = min(PREFILL_CHUNK, context), _item(dtype)
        qkv = (self.heads.n_heads + 2 * self.heads.n_kv_heads) * self.heads.head_dim
        passing = chunk * (4 * self.width + 2 * qkv + 3 * self.widest) * item
        mask = chunk * context * (1 + item)
        scores = 0 if self.own else 3 * self.heads.n_heads * chunk * context * item
        return passing + mask + scores + (MAX_CACHED_LOGITS + 1) * self.vocabulary * item

    def _product_bytes(self, dtype: str) -> int:
        return round(self.multiplied * ITEM_BYTES[dtype])

    @property
    def _others(self) -> int:
        """Parameters outside of products; a tied embedding is inside of one."""
        return self.parameters - self.multiplied


def _item(dtype: str) -> int:
    return int(ITEM_BYTES[_COMPUTED.get(dtype, dtype)])
