"""A step whose shapes never change: what a CUDA graph or a compiler needs, where a general step fits its prompt.

A GPU reads a small model's weights in less time than Python needs to name the operations. So a step of a few tokens is
recorded once and replayed: it always reads `width` tokens, at places that stand in a tensor, and always looks at `keys`
places, of which a mask hides those that hold nothing yet.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lacuna_inference.forward import Step
from lacuna_inference.models.forward.network import (
    Attention,
    KVTensor,
    Network,
    OwnForward,
    rotate,
    run_blocks,
)

Run = Callable[[], None]
Capture = Callable[[Run], Run]
"""Makes of a step one that does the same faster; the tensors that it reads and writes stay where they are."""
MIN_KEY_LENGTH = 256
"""Places that are looked at, at least; from there on in powers of two."""
_EXACT, _NEAR = 1e-3, 5e-2
"""How far the logits of a recorded step may be from the step's own, in fp32 and in narrower dtypes: the norm of the
difference over the norm of the logits. Compilers order sums differently; a wrong recording is off by about 1."""
_RECORDING = threading.Lock()
"""CUDA allows one recording in a process at a time, and replicas load side by side."""


class StaticStep:
    """Reads `width` tokens into `slot`, whose first `keys` places it looks at."""

    def __init__(self, network: Network, slot: KVTensor, width: int, keys: int) -> None:
        head = network.head
        self._network, self._slot, self.width, self._keys = network, slot, width, keys
        self._given = torch.zeros(2, width, dtype=torch.int64, device=head.device)
        self._places = torch.arange(keys, device=head.device)
        self.logits = torch.zeros(width, head.outputs, dtype=head.dtype, device=head.device)
        """Logits [width, vocabulary], overwritten by every run."""

    def give(self, ids: Sequence[int], start: int) -> None:
        """What the next run reads, and the place of its first token. Fewer ids than `width` are filled up."""
        filled = [*ids, *[0] * (self.width - len(ids))]
        self._given.copy_(torch.tensor([filled, list(range(start, start + self.width))]))

    def run(self) -> None:
        """The step; it depends on nothing but the memory that it was made with."""
        network = self._network
        ids, places = self._given[0], self._given[1]
        x = network.embed(ids, places)
        rotation = None if network.rotation is None else network.rotation[places]
        group = network.heads.n_heads // network.heads.n_kv_heads
        mask = (self._places <= places[:, None]).repeat(group, 1)
        stored = self._slot.keys_values
        x = run_blocks(network, x, lambda layer, at, y: self._attend(layer, y, stored[at], places, rotation, mask))
        self.logits.copy_(network.head(network.norm(x)))

    def _attend(
        self,
        attention: Attention,
        x: Tensor,
        keys_values: Tensor,
        places: Tensor,
        rotation: Tensor | None,
        mask: Tensor,
    ) -> Tensor:
        """As `OwnForward._attend`. Queries that share keys are rows of one head: no kernel has to expand the keys."""
        heads, width = self._network.heads, self.width
        qkv = attention.qkv(x).contiguous().view(width, heads.n_heads + 2 * heads.n_kv_heads, heads.head_dim)
        if rotation is not None:
            rotate(qkv[:, : heads.n_heads + heads.n_kv_heads, : heads.rotary_dim], rotation)
        keys_values.index_copy_(1, places, qkv[:, heads.n_heads :].transpose(0, 1))
        seen = keys_values[None, :, : self._keys]
        queries = qkv[:, : heads.n_heads].transpose(0, 1).reshape(1, heads.n_kv_heads, -1, heads.head_dim)
        attended = F.scaled_dot_product_attention(
            queries, seen[:, : heads.n_kv_heads], seen[:, heads.n_kv_heads :], attn_mask=mask
        ).view(heads.n_heads, width, heads.head_dim)
        return attention.out(attended.transpose(0, 1).reshape(width, -1))


class StagedCache:
    """A slot of `StaticForward`: only one at a time lies where the recorded steps look; the others keep a copy."""

    def __init__(self, place_bytes: int) -> None:
        self.length = 0
        self.kept: Tensor | None = None
        self._place_bytes = place_bytes

    @property
    def nbytes(self) -> int:
        return self._place_bytes * self.length

    def rollback(self, length: int) -> int:
        """Forgets everything behind the first `length` tokens; how many it kept. Costs nothing."""
        self.length = max(0, min(self.length, length))
        return self.length


@dataclass(frozen=True, slots=True)
class _Ready:
    step: StaticStep
    run: Run


class StaticForward:
    """`Forward` that reads up to `widths` tokens by recorded steps, and more of them as `OwnForward` does."""

    def __init__(self, network: Network, max_draft_tokens: int, capture: Capture) -> None:
        """Records every step that may be needed. Whatever `capture` raises passes through.

        Raises RuntimeError when a recorded step computes other logits than the step itself.
        """
        self.max_draft_tokens = max_draft_tokens
        self._network, self._capture = network, capture
        self._general = OwnForward(network)
        self._stage = KVTensor(network)
        self._written = 0
        """The places of the stage that something was written to; all behind them are zero."""
        self._on_stage: weakref.ref[StagedCache] | None = None
        self._widths = sorted({1, 1 + max_draft_tokens})
        self._ready = {(w, k): self._recorded(w, k) for w in self._widths for k in _lengths(network.context)}

    def new_kv_cache(self) -> StagedCache:
        return StagedCache(self._stage.nbytes // self._network.context)

    @torch.inference_mode()
    def step(self, ids: Sequence[int], kv_cache: StagedCache, n_logits: int = 1) -> Tensor:
        """Appends `ids` to `slot`; logits [rows, vocabulary] after each of the last `rows` of them."""
        self._bring_on(kv_cache)
        start, end = kv_cache.length, kv_cache.length + len(ids)
        context = self._network.context
        width = next((w for w in self._widths if len(ids) <= w and start + w <= context), None)
        if width is None:
            self._written = max(self._written, end)
            self._stage.length = start
            logits = self._general.step(ids, self._stage, n_logits)
        else:
            ready = self._ready[width, next(keys for keys in _lengths(context) if start + width <= keys)]
            self._clean(start + width)
            ready.step.give(ids, start)
            ready.run()
            logits = ready.step.logits[len(ids) - n_logits : len(ids)].clone()
        kv_cache.length = end
        return logits

    def step_batch(self, asked: Sequence[Step]) -> None:
        """There is no such pass: a recorded step has one slot."""

    def _bring_on(self, slot: StagedCache) -> None:
        """Copies the slot that is on stage away, and `slot` there: far less than reading the weights once."""
        before = self._on_stage() if self._on_stage else None
        if before is slot:
            return
        stage = self._stage.keys_values
        if before is not None:
            before.kept = stage[:, :, : before.length].clone()
        if slot.kept is not None:
            stage[:, :, : slot.length] = slot.kept[:, :, : slot.length]
            self._written = max(self._written, slot.length)
            slot.kept = None
        self._on_stage = weakref.ref(slot)

    def _clean(self, end: int) -> None:
        """Zeroes what other tokens have left behind the first `end` places.

        A mask hides those places, but they are multiplied all the same: NaN times nought is NaN.
        """
        if end < self._written:
            self._stage.keys_values[:, :, end : self._written] = 0
        self._written = end

    @torch.inference_mode()
    def _recorded(self, width: int, keys: int) -> _Ready:
        step = StaticStep(self._network, self._stage, width, keys)
        step.give([], 0)
        run = self._capture(step.run)
        _require_same(step, run, max(0, keys - width))
        self._stage.keys_values.zero_()
        return _Ready(step, run)


def _require_same(step: StaticStep, run: Run, start: int) -> None:
    """Raises RuntimeError unless `run` does what `step` does with tokens and places that it was not recorded with.

    A graph that was recorded on another device's stream is empty: it leaves whatever logits are there.
    """
    step.give(range(1, 1 + step.width), start)
    step.run()
    expected = step.logits.to(torch.float32, copy=True)
    step.logits.fill_(torch.nan)
    run()
    error = torch.linalg.vector_norm(step.logits.float() - expected) / torch.linalg.vector_norm(expected)
    allowed = _EXACT if step.logits.dtype is torch.float32 else _NEAR
    if not bool(error <= allowed):  # so NaN is refused, too
        raise RuntimeError(f"a recorded step of {step.width} tokens does not compute what it computes unrecorded")


def cuda_graph(run: Run, device: torch.device) -> Run:
    """`run`, which works on the CUDA `device`, as a CUDA graph: one launch instead of hundreds.

    Other threads may use any device meanwhile.
    """
    with _RECORDING, torch.cuda.device(device):
        stream, present = torch.cuda.Stream(device), torch.cuda.current_stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(present)
        with torch.cuda.stream(stream):
            for _ in range(2):  # what the libraries prepare on first use cannot be recorded
                run()
        present.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            run()
    return graph.replay


def compiled(run: Run) -> Run:
    """`run` through torch.compile. Needs a C++ compiler on a CPU, Triton on a GPU, and minutes."""
    made: Run = torch.compile(run, dynamic=False, fullgraph=True)
    made()
    return made


def compiled_graph(run: Run, device: torch.device) -> Run:
    """Compiled, and as a CUDA graph."""
    return cuda_graph(compiled(run), device)


def _lengths(context: int) -> Iterable[int]:
    """The numbers of places for which there is a step."""
    length = MIN_KEY_LENGTH
    while length < context:
        yield length
        length *= 2
    yield context
