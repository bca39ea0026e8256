"""The engine's own forward: a decoder-only transformer with fused projections and a preallocated KV cache.

One class runs every architecture in `architectures/`. It knows neither checkpoint names nor the meaning of tokens.
Rotary pairs are adjacent (as in GPT-J), so that a rotation is one complex product; architectures that store them in
halves have their rows reordered once, while loading.

Attention is written three times for speed: here for any number of tokens, in `static.py` with fixed shapes, and in
`single.py` for one token on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from lacuna_inference.forward import Step
from lacuna_inference.models import native, pages
from lacuna_inference.models.forward.linear import UNTUNED, Linear, Tuning
from lacuna_inference.models.forward.threads import ThreadChooser

TokenwiseLayer = Callable[[Tensor], Tensor]
"""[tokens, in] -> [tokens, out], each token independently."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Projections of one block. `qkv` computes queries, keys and values, in this order, for all heads at once.

    `head_norm` normalizes the queries and keys [tokens, heads, head_dim] before they are rotated.
    """

    qkv: Linear
    out: TokenwiseLayer
    head_norm: TokenwiseLayer | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """One layer. Without a norm of its own, the feed-forward runs in parallel to attention, on its input (CodeGen)."""

    norm: TokenwiseLayer
    attention: Attention
    feed_forward_norm: TokenwiseLayer | None
    feed_forward: TokenwiseLayer


@dataclass(frozen=True, slots=True)
class Heads:
    """`n_heads` query heads share `n_kv_heads` key/value heads; the first `rotary_dim` of `head_dim` are rotated.

    `scale` multiplies the products of queries and keys; None is the usual one over the root of `head_dim`.
    """

    n_heads: int
    n_kv_heads: int
    head_dim: int
    rotary_dim: int = 0
    scale: float | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """`embed` takes ids and positions, both int64 [tokens]. `rotation` is complex64 [context, 1, rotary_dim / 2].

    `residual_scale` multiplies what a block's attention and its feed-forward add to the residual stream;
    `logit_divisor` divides the logits.
    """

    embed: Callable[[Tensor, Tensor], Tensor]
    blocks: Sequence[Block]
    norm: TokenwiseLayer
    head: Linear
    heads: Heads
    context: int
    rotation: Tensor | None = None
    residual_scale: float = 1.0
    logit_divisor: float = 1.0

    def logits(self, x: Tensor) -> Tensor:
        """The logits [tokens, vocabulary] of the residual stream x [tokens, width] after the last block."""
        logits = self.head(self.norm(x))
        return logits if self.logit_divisor == 1.0 else logits / self.logit_divisor


def kv_shape(network: Network, length: int) -> tuple[int, int, int, int]:
    """The shape of the keys and values of `length` tokens."""
    return len(network.blocks), 2 * network.heads.n_kv_heads, length, network.heads.head_dim


class KVTensor:
    """Keys and values of one sequence [layers, 2 * n_kv_heads, context, head_dim]; the first `length` tokens count."""

    def __init__(self, network: Network) -> None:
        self.keys_values = _zeros(kv_shape(network, network.context), network.head.dtype, network.head.device)
        self.length = self._longest = 0

    @property
    def nbytes(self) -> int:
        """Bytes of memory. On a CPU, the system gives it when it is first written to."""
        if self.keys_values.device.type != "cpu":
            return self.keys_values.nbytes
        return self.keys_values.nbytes * max(self.length, self._longest) // self.keys_values.shape[2]

    def rollback(self, length: int) -> int:
        """Drops everything after the first `length` tokens; returns how many it kept. Costs nothing."""
        self._longest = max(self._longest, self.length)
        self.length = max(0, min(self.length, length))
        return self.length

    def export(self, length: int | None = None) -> Tensor:
        """A copy of the keys and values that count [layers, 2 * n_kv_heads, length, head_dim], in host memory."""
        held = self.keys_values[:, :, : self.length if length is None else length]
        return torch.empty(held.shape, dtype=held.dtype).copy_(held)


_FEW = 4
"""Tokens whose attention takes our own code less time than torch's."""
SingleTokenStep = Callable[[int, KVTensor], Tensor]
"""Appends one token to a KV cache; returns logits [1, vocabulary]."""


class _Span:
    """Where the tokens of one step go: positions `start` to `end` of its KV cache."""

    __slots__ = ("count", "end", "kv_cache", "mask", "start")

    def __init__(self, kv_cache: KVTensor, start: int, count: int, device: torch.device) -> None:
        self.kv_cache, self.start, self.count, self.end = kv_cache, start, count, start + count
        self.mask = _mask(count, start, device)


class OwnForward:
    """`Forward` over a `Network`. Up to `max_draft_tokens` extra tokens take little longer than one alone."""

    def __init__(
        self,
        network: Network,
        tuning: Tuning = UNTUNED,
        single: SingleTokenStep | None = None,
        threads: ThreadChooser | None = None,
    ) -> None:
        """`tuning` says which kernels the layers use; `single` is a faster step for one token, if there is one.

        `threads` chooses the number of threads of each pass, if results do not depend on it.
        """
        self.network = network
        self.tuning = tuning
        self.max_draft_tokens = tuning.max_draft_tokens
        self._single, self._threads = single, threads
        self._device = network.head.device
        fits = network.head.dtype is torch.float32 and network.heads.head_dim % native.LANES == 0
        self._native = native.load() if fits and self._device.type == "cpu" else None

    def new_kv_cache(self) -> KVTensor:
        """An empty KV cache for one sequence."""
        return KVTensor(self.network)

    @property
    def kv_dtype(self) -> torch.dtype:
        return self.network.head.dtype

    def kv_shape(self, length: int) -> tuple[int, ...]:
        """The shape of the keys and values of `length` tokens."""
        return kv_shape(self.network, length)

    def export_kv(self, kv_cache: KVTensor, length: int | None = None) -> Tensor:
        """A copy of the keys and values in `kv_cache`, of its first `length` tokens or all, in host memory."""
        return kv_cache.export(length)

    @torch.inference_mode()
    def import_kv(self, keys_values: Tensor, length: int) -> KVTensor:
        """A new KV cache with these keys and values of `length` tokens."""
        kv_cache = self.new_kv_cache()
        kv_cache.keys_values[:, :, :length] = keys_values
        kv_cache.length = length
        return kv_cache

    @torch.inference_mode()
    def step(self, ids: Sequence[int], kv_cache: KVTensor, n_logits: int = 1) -> Tensor:
        """Appends `ids` to `kv_cache`; returns logits [n_logits, vocabulary] after each of the last `n_logits`."""
        if len(ids) == 1 and self._single is not None:
            return self._single(ids[0], kv_cache)
        return self.step_batch([Step(ids, kv_cache, n_logits)])[0]

    @torch.inference_mode()
    def step_batch(self, steps: Sequence[Step]) -> list[Tensor]:
        """Runs steps of different KV caches in one pass: the weights are read once for all of them."""
        if self._threads is None:
            return self._pass(steps)
        return self._threads.run(sum(len(step.ids) for step in steps), lambda: self._pass(steps))

    def _pass(self, steps: Sequence[Step]) -> list[Tensor]:
        """Concatenates the tokens of all steps; only attention treats the steps separately."""
        network = self.network
        spans = [_Span(step.kv_cache, step.kv_cache.length, len(step.ids), self._device) for step in steps]
        ids = [token for step in steps for token in step.ids]
        positions = torch.tensor(
            [position for span in spans for position in range(span.start, span.end)], device=self._device
        )
        x = network.embed(torch.tensor(ids, device=self._device), positions)
        rotation = None if network.rotation is None else network.rotation[positions]
        x = run_blocks(network, x, lambda layer, at, y: self._attend(layer, y, at, spans, rotation))
        n_logits = [step.n_logits for step in steps]
        if len(steps) == 1:
            x = x[-n_logits[0] :]
        else:
            ends = list(accumulate(span.count for span in spans))
            kept = [row for end, count in zip(ends, n_logits, strict=True) for row in range(end - count, end)]
            x = x[torch.tensor(kept, device=self._device)]
        logits = network.logits(x)
        for span in spans:
            span.kv_cache.length = span.end
        return list(torch.split(logits, n_logits))

    def _attend(
        self, attention: Attention, x: Tensor, layer: int, spans: Sequence[_Span], rotation: Tensor | None
    ) -> Tensor:
        """x: [tokens, width]; the keys and values of each span are written into its KV cache."""
        heads, count = self.network.heads, len(x)
        qkv = attention.qkv(x).contiguous().view(count, heads.n_heads + 2 * heads.n_kv_heads, heads.head_dim)
        normalize_and_rotate(qkv[:, : heads.n_heads + heads.n_kv_heads], attention, heads, rotation)
        if len(spans) == 1:
            return attention.out(self._attended(qkv, layer, spans[0]))
        qkv_of_spans = torch.split(qkv, [span.count for span in spans])
        attended = [self._attended(rows, layer, span) for rows, span in zip(qkv_of_spans, spans, strict=True)]
        return attention.out(torch.cat(attended))

    def _attended(self, qkv: Tensor, layer: int, span: _Span) -> Tensor:
        """qkv: [tokens of the span, heads, head_dim]; returns the attention output [tokens, n_heads * head_dim]."""
        heads, keys_values = self.network.heads, span.kv_cache.keys_values[layer]
        keys_values[:, span.start : span.end] = qkv[:, heads.n_heads :].transpose(0, 1)
        seen = keys_values[:, : span.end]
        if span.count <= _FEW and self._native is not None:
            queries = qkv[:, : heads.n_heads]
            keys, values = keys_values[: heads.n_kv_heads], keys_values[heads.n_kv_heads :]
            return self._native.attend(queries, keys, values, span.start, heads.scale or heads.head_dim**-0.5)
        if span.count == 1:  # the query heads of a key head as its queries: twice as fast as repeated keys
            queries = qkv[0, : heads.n_heads].view(1, heads.n_kv_heads, -1, heads.head_dim)
            keys, values = seen[None, : heads.n_kv_heads], seen[None, heads.n_kv_heads :]
            return F.scaled_dot_product_attention(queries, keys, values, scale=heads.scale).view(1, -1)
        attended = F.scaled_dot_product_attention(
            qkv[:, : heads.n_heads].transpose(0, 1)[None],
            seen[None, : heads.n_kv_heads],
            seen[None, heads.n_kv_heads :],
            attn_mask=span.mask,
            is_causal=span.mask is None and span.count > 1,
            scale=heads.scale,
            enable_gqa=heads.n_heads != heads.n_kv_heads,
        )
        return attended[0].transpose(0, 1).reshape(span.count, -1)


def run_blocks(network: Network, x: Tensor, attend: Callable[[Attention, int, Tensor], Tensor]) -> Tensor:
    """Runs x [tokens, width] through all blocks; `attend` gets a block's attention, its number and its input."""
    scale = network.residual_scale
    for number, block in enumerate(network.blocks):
        normed = block.norm(x)
        attended = attend(block.attention, number, normed)
        if block.feed_forward_norm is None:
            x = torch.add(torch.add(x, attended, alpha=scale), block.feed_forward(normed), alpha=scale)
        else:
            x = torch.add(x, attended, alpha=scale)
            x = torch.add(x, block.feed_forward(block.feed_forward_norm(x)), alpha=scale)
    return x


def rotation_table(context: int, frequencies: Tensor, magnitude: float = 1.0) -> Tensor:
    """Rotary positions (Su et al., 2021, arXiv 2104.09864) as complex64 [context, 1, rotary_dim / 2].

    `frequencies` are fp32 [rotary_dim / 2], in radians for each position. Rotated vectors are `magnitude` times longer.
    """
    angles = torch.outer(torch.arange(context, device=frequencies.device).float(), frequencies)
    return torch.polar(torch.full_like(angles, magnitude), angles)[:, None]


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    return pages.untouched(math.prod(shape) * dtype.itemsize).view(dtype).view(shape)


def _mask(count: int, start: int, device: torch.device) -> Tensor | None:
    """Which of `start + count` tokens each of the last `count` sees; None if all of them, or a causal mask suffices."""
    if count == 1 or start == 0:
        return None
    return torch.ones((count, start + count), dtype=torch.bool, device=device).tril_(start)


def normalize_and_rotate(x: Tensor, attention: Attention, heads: Heads, rotation: Tensor | None) -> None:
    """Normalizes and rotates queries and keys, x [tokens, heads, head_dim], in place, as far as the model does."""
    if attention.head_norm is not None:
        x.copy_(attention.head_norm(x))
    if rotation is not None:
        rotate(x[..., : heads.rotary_dim], rotation)


def rotate(x: Tensor, rotation: Tensor) -> None:
    """Rotates adjacent pairs of x [tokens, heads, rotary_dim] in place, in fp32."""
    pairs = torch.view_as_complex(x.float().view(*x.shape[:-1], -1, 2))
    if x.dtype is torch.float32:
        pairs.mul_(rotation)
    else:
        x.copy_(torch.view_as_real(pairs * rotation).flatten(-2))
