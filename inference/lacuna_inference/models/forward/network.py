"""A decoder-only transformer with fused projections over a preallocated KV store: the engine's own forward.

One class serves every architecture that `llama.py`, `starcoder2.py`, `xglm.py` and `codegen.py` describe in its
terms. It knows no names of checkpoints and no tokens' meaning. Rotary pairs stand side by side (as in GPT-J), so that a
rotation is one complex product; architectures that keep them in halves have their rows reordered once, while loading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from lacuna_inference.forward import Step
from lacuna_inference.models.forward.linear import UNTUNED, Linear, Tuning

TokenwiseLayer = Callable[[Tensor], Tensor]
"""[tokens, in] -> [tokens, out], each token by itself."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Projections of one block. `qkv` gives queries, keys and values, in this order, for all heads at once."""

    qkv: Linear
    out: TokenwiseLayer


@dataclass(frozen=True, slots=True)
class Block:
    """One layer. Without a norm of its own the feed-forward reads what attention reads, beside it (CodeGen)."""

    norm: TokenwiseLayer
    attention: Attention
    feed_forward_norm: TokenwiseLayer | None
    feed_forward: TokenwiseLayer


@dataclass(frozen=True, slots=True)
class Heads:
    """`queries` heads share `keys` key/value heads of `size` each; the first `rotary` dimensions are rotated."""

    n_heads: int
    n_kv_heads: int
    head_dim: int
    rotary_dim: int = 0


@dataclass(frozen=True, slots=True)
class Network:
    """`embed` takes ids and positions, both int64 [tokens]. `rotation` is complex64 [context, 1, rotary / 2]."""

    embed: Callable[[Tensor, Tensor], Tensor]
    blocks: Sequence[Block]
    norm: TokenwiseLayer
    head: Linear
    heads: Heads
    context: int
    rotation: Tensor | None = None


class KVTensor:
    """Keys and values of one sequence: [layers, 2, key heads, context, head size], of which `held` tokens count."""

    def __init__(self, network: Network) -> None:
        heads, weight = network.heads, network.head
        shape = (len(network.blocks), 2 * heads.n_kv_heads, network.context, heads.head_dim)
        self.keys_values = torch.zeros(shape, dtype=weight.dtype, device=weight.device)
        self.length = 0

    @property
    def nbytes(self) -> int:
        return self.keys_values.nbytes

    def rollback(self, length: int) -> int:
        """Forgets everything behind the first `length` tokens; how many it kept. Costs nothing."""
        self.length = max(0, min(self.length, length))
        return self.length


SingleTokenStep = Callable[[int, KVTensor], Tensor]
"""Appends one token to a slot; logits [1, vocabulary]."""


class _Span:
    """Where the tokens of one step go: the places from `start` to `end` of its slot."""

    __slots__ = ("count", "end", "kv_cache", "mask", "start")

    def __init__(self, slot: KVTensor, start: int, count: int, device: torch.device) -> None:
        self.kv_cache, self.start, self.count, self.end = slot, start, count, start + count
        self.mask = _mask(count, start, device)


class OwnForward:
    """`Forward` over a `Network`. `max_draft_tokens` tokens more are read in little more than the time of one."""

    def __init__(self, network: Network, tuning: Tuning = UNTUNED, single: SingleTokenStep | None = None) -> None:
        """`tuning` is how the products are written; `single` reads one token, where there is a faster way for it."""
        self.network = network
        self.tuning = tuning
        self.max_draft_tokens = tuning.max_draft_tokens
        self._single = single
        self._device = network.head.device

    def new_kv_cache(self) -> KVTensor:
        """An empty KV store for one sequence."""
        return KVTensor(self.network)

    @torch.inference_mode()
    def step(self, ids: Sequence[int], kv_cache: KVTensor, n_logits: int = 1) -> Tensor:
        """Appends `ids` to `slot`; logits [rows, vocabulary] after each of the last `rows` of them."""
        if len(ids) == 1 and self._single is not None:
            return self._single(ids[0], kv_cache)
        return self._pass([Step(ids, kv_cache, n_logits)])[0]

    @torch.inference_mode()
    def step_batch(self, asked: Sequence[Step]) -> list[Tensor]:
        """Several steps, of different slots, in one pass: the weights are read once for all of them."""
        return self._pass(asked)

    def _pass(self, asked: Sequence[Step]) -> list[Tensor]:
        """The tokens of all steps stand behind each other; only attention tells them apart."""
        network = self.network
        spans = [_Span(step.kv_cache, step.kv_cache.length, len(step.ids), self._device) for step in asked]
        ids = [token for step in asked for token in step.ids]
        places = [place for span in spans for place in range(span.start, span.end)]
        positions = torch.tensor(places, device=self._device)
        x = network.embed(torch.tensor(ids, device=self._device), positions)
        rotation = None if network.rotation is None else network.rotation[positions]
        x = run_blocks(network, x, lambda layer, at, y: self._attend(layer, y, at, spans, rotation))
        rows = [step.n_logits for step in asked]
        if len(asked) == 1:
            x = x[-rows[0] :]
        else:
            ends = list(accumulate(span.count for span in spans))
            kept = [row for end, count in zip(ends, rows, strict=True) for row in range(end - count, end)]
            x = x[torch.tensor(kept, device=self._device)]
        logits = network.head(network.norm(x))
        for span in spans:
            span.kv_cache.length = span.end
        return list(torch.split(logits, rows))

    def _attend(
        self, attention: Attention, x: Tensor, layer: int, spans: Sequence[_Span], rotation: Tensor | None
    ) -> Tensor:
        """x: [tokens, width]; the keys and values of each span are written into its slot."""
        heads, count = self.network.heads, len(x)
        qkv = attention.qkv(x).contiguous().view(count, heads.n_heads + 2 * heads.n_kv_heads, heads.head_dim)
        if rotation is not None:
            rotate(qkv[:, : heads.n_heads + heads.n_kv_heads, : heads.rotary_dim], rotation)
        if len(spans) == 1:
            return attention.out(self._attended(qkv, layer, spans[0]))
        pieces = torch.split(qkv, [span.count for span in spans])
        found = [self._attended(piece, layer, span) for piece, span in zip(pieces, spans, strict=True)]
        return attention.out(torch.cat(found))

    def _attended(self, qkv: Tensor, layer: int, span: _Span) -> Tensor:
        """qkv: [tokens of the span, heads, head size]; what its queries found, [tokens, width]."""
        heads, keys_values = self.network.heads, span.kv_cache.keys_values[layer]
        keys_values[:, span.start : span.end] = qkv[:, heads.n_heads :].transpose(0, 1)
        seen = keys_values[:, : span.end]
        attended = F.scaled_dot_product_attention(
            qkv[:, : heads.n_heads].transpose(0, 1)[None],
            seen[None, : heads.n_kv_heads],
            seen[None, heads.n_kv_heads :],
            attn_mask=span.mask,
            is_causal=span.mask is None and span.count > 1,
            enable_gqa=heads.n_heads != heads.n_kv_heads,
        )
        return attended[0].transpose(0, 1).reshape(span.count, -1)


def run_blocks(network: Network, x: Tensor, attend: Callable[[Attention, int, Tensor], Tensor]) -> Tensor:
    """x [tokens, width] through all blocks; `attend` gets a block's attention, its number and its input."""
    for number, block in enumerate(network.blocks):
        normed = block.norm(x)
        attended = attend(block.attention, number, normed)
        if block.feed_forward_norm is None:
            x = x + attended + block.feed_forward(normed)
        else:
            x = x + attended
            x = x + block.feed_forward(block.feed_forward_norm(x))
    return x


def rotation_table(context: int, rotary: int, base: float, scale: float = 1.0) -> Tensor:
    """Rotary positions (Su et al., 2021, arXiv 2104.09864) as complex64 [context, 1, rotary / 2].

    `scale` divides the positions (linear scaling of the context).
    """
    frequencies = base ** (-torch.arange(0, rotary, 2, dtype=torch.int64).float() / rotary)
    angles = torch.outer(torch.arange(context).float() / scale, frequencies)
    return torch.polar(torch.ones_like(angles), angles)[:, None]


def _mask(count: int, start: int, device: torch.device) -> Tensor | None:
    """Which of `start + count` tokens each of the last `count` sees; None where all or the plain triangle is meant."""
    if count == 1 or start == 0:
        return None
    return torch.ones((count, start + count), dtype=torch.bool, device=device).tril_(start)


def rotate(x: Tensor, rotation: Tensor) -> None:
    """Rotates neighbouring pairs of x [tokens, heads, rotary] in place, in fp32."""
    pairs = torch.view_as_complex(x.float().view(*x.shape[:-1], -1, 2))
    if x.dtype is torch.float32:
        pairs.mul_(rotation)
    else:
        x.copy_(torch.view_as_real(pairs * rotation).flatten(-2))
