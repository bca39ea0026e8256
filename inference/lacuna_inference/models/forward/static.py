"""Steps with fixed shapes, as CUDA graphs and compilers need them.

A GPU reads a small model's weights in less time than Python needs to launch the operations. So a step of a few tokens
is recorded once and replayed. It always reads `width` tokens, at positions given by a tensor, and always attends to
`key_length` positions, with a mask over those that are empty.

Attention is written three times for speed: see `network.py`.
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
    normalize_and_rotate,
    run_blocks,
)

Run = Callable[[], None]
Capture = Callable[[Run], Run]
"""Turns a step into a faster equivalent; the tensors that it reads and writes stay at their addresses."""
MIN_KEY_LENGTH = 256
"""Least number of positions attended to; larger ones are powers of two."""
_FP32_TOLERANCE, _NARROW_TOLERANCE = 1e-3, 5e-2
"""How far the logits of a recorded step may differ from the step's own, in fp32 and in narrower dtypes: the norm of the
difference over the norm of the logits. Compilers order sums differently; a wrong recording is off by about 1."""
_RECORDING = threading.Lock()
"""CUDA allows one recording per process at a time, and replicas load concurrently."""


class StaticStep:
    """Reads `width` tokens into `kv_cache` and attends to its first `key_length` positions."""

    def __init__(self, network: Network, kv_cache: KVTensor, width: int, key_length: int) -> None:
        head = network.head
        self._network, self._kv_cache, self.width, self._key_length = network, kv_cache, width, key_length
        self._inputs = torch.zeros(2, width, dtype=torch.int64, device=head.device)
        self._key_positions = torch.arange(key_length, device=head.device)
        self.logits = torch.zeros(width, head.outputs, dtype=head.dtype, device=head.device)
        """Logits [width, vocabulary], overwritten by every run."""

    def set_inputs(self, ids: Sequence[int], start: int) -> None:
        """Sets the tokens of the next run, padded to `width`, and the position of the first."""
        padded = [*ids, *[0] * (self.width - len(ids))]
        self._inputs.copy_(torch.tensor([padded, list(range(start, start + self.width))]))

    def run(self) -> None:
        """Runs the step; it uses only the memory that was allocated in advance."""
        network = self._network
        ids, positions = self._inputs[0], self._inputs[1]
        x = network.embed(ids, positions)
        rotation = None if network.rotation is None else network.rotation[positions]
        group = network.heads.n_heads // network.heads.n_kv_heads
        mask = (self._key_positions <= positions[:, None]).repeat(group, 1)
        cached = self._kv_cache.keys_values
        x = run_blocks(network, x, lambda layer, at, y: self._attend(layer, y, cached[at], positions, rotation, mask))
        self.logits.copy_(network.logits(x))

    def _attend(
        self,
        attention: Attention,
        x: Tensor,
        keys_values: Tensor,
        positions: Tensor,
        rotation: Tensor | None,
        mask: Tensor,
    ) -> Tensor:
        """As `OwnForward._attend`. Queries that share keys are rows of one head, so that keys need not be expanded."""
        heads, width = self._network.heads, self.width
        qkv = attention.qkv(x).contiguous().view(width, heads.n_heads + 2 * heads.n_kv_heads, heads.head_dim)
        normalize_and_rotate(qkv[:, : heads.n_heads + heads.n_kv_heads], attention, heads, rotation)
        keys_values.index_copy_(1, positions, qkv[:, heads.n_heads :].transpose(0, 1))
        seen = keys_values[None, :, : self._key_length]
        queries = qkv[:, : heads.n_heads].transpose(0, 1).reshape(1, heads.n_kv_heads, -1, heads.head_dim)
        attended = F.scaled_dot_product_attention(
            queries, seen[:, : heads.n_kv_heads], seen[:, heads.n_kv_heads :], attn_mask=mask, scale=heads.scale
        ).view(heads.n_heads, width, heads.head_dim)
        return attention.out(attended.transpose(0, 1).reshape(width, -1))


class StagedCache:
    """A KV cache of `StaticForward`: one at a time is staged where the recorded steps read; the others keep a copy."""

    def __init__(self, token_bytes: int) -> None:
        self.length = 0
        self.copy: Tensor | None = None
        self._token_bytes = token_bytes

    @property
    def nbytes(self) -> int:
        return self._token_bytes * self.length

    def rollback(self, length: int) -> int:
        """Drops everything after the first `length` tokens; returns how many it kept. Costs nothing."""
        self.length = max(0, min(self.length, length))
        return self.length


@dataclass(frozen=True, slots=True)
class _RecordedStep:
    step: StaticStep
    replay: Run


class StaticForward:
    """`Forward` that reads a few tokens with recorded steps, and more of them like `OwnForward`."""

    def __init__(self, network: Network, max_draft_tokens: int, capture: Capture) -> None:
        """Records every step that may be needed. Exceptions of `capture` propagate.

        Raises RuntimeError when a recorded step computes other logits than the step itself.
        """
        self.max_draft_tokens = max_draft_tokens
        self._network, self._capture = network, capture
        self._general = OwnForward(network)
        self._stage = KVTensor(network)
        self._written = 0
        """The positions of the stage that were written to; all after them are zero."""
        self._on_stage: weakref.ref[StagedCache] | None = None
        self._widths = sorted({1, 1 + max_draft_tokens})
        self._recorded = {(w, k): self._record(w, k) for w in self._widths for k in _key_lengths(network.context)}

    def new_kv_cache(self) -> StagedCache:
        return StagedCache(self._stage.nbytes // self._network.context)

    @property
    def kv_dtype(self) -> torch.dtype:
        return self._general.kv_dtype

    def kv_shape(self, length: int) -> tuple[int, ...]:
        """The shape of the keys and values of `length` tokens."""
        return self._general.kv_shape(length)

    def export_kv(self, kv_cache: StagedCache, length: int | None = None) -> Tensor:
        """A copy of the keys and values in `kv_cache`, of its first `length` tokens or all, in host memory."""
        held = kv_cache.copy if kv_cache.copy is not None else self._stage.keys_values
        held = held[:, :, : kv_cache.length if length is None else length]
        return torch.empty(held.shape, dtype=held.dtype).copy_(held)

    def import_kv(self, keys_values: Tensor, length: int) -> StagedCache:
        """A new KV cache with these keys and values of `length` tokens."""
        kv_cache = self.new_kv_cache()
        kv_cache.copy, kv_cache.length = keys_values.to(self._stage.keys_values.device), length
        return kv_cache

    @torch.inference_mode()
    def step(self, ids: Sequence[int], kv_cache: StagedCache, n_logits: int = 1) -> Tensor:
        """Appends `ids` to `kv_cache`; returns logits [n_logits, vocabulary] after each of the last `n_logits`."""
        self._put_on_stage(kv_cache)
        start, end = kv_cache.length, kv_cache.length + len(ids)
        context = self._network.context
        width = next((w for w in self._widths if len(ids) <= w and start + w <= context), None)
        if width is None:
            self._written = max(self._written, end)
            self._stage.length = start
            logits = self._general.step(ids, self._stage, n_logits)
        else:
            key_length = next(length for length in _key_lengths(context) if start + width <= length)
            recorded = self._recorded[width, key_length]
            self._clear_after(start + width)
            recorded.step.set_inputs(ids, start)
            recorded.replay()
            logits = recorded.step.logits[len(ids) - n_logits : len(ids)].clone()
        kv_cache.length = end
        return logits

    def step_batch(self, steps: Sequence[Step]) -> None:
        """Not supported: a recorded step has one KV cache."""

    def _put_on_stage(self, kv_cache: StagedCache) -> None:
        """Copies the staged cache away and `kv_cache` to the stage: much less work than reading the weights once."""
        staged = self._on_stage() if self._on_stage else None
        if staged is kv_cache:
            return
        stage = self._stage.keys_values
        if staged is not None:
            staged.copy = stage[:, :, : staged.length].clone()
        if kv_cache.copy is not None:
            stage[:, :, : kv_cache.length] = kv_cache.copy[:, :, : kv_cache.length]
            self._written = max(self._written, kv_cache.length)
            kv_cache.copy = None
        self._on_stage = weakref.ref(kv_cache)

    def _clear_after(self, end: int) -> None:
        """Zeroes what other tokens have left after the first `end` positions.

        A mask hides those positions, but their values are still multiplied, and NaN times zero is NaN.
        """
        if end < self._written:
            self._stage.keys_values[:, :, end : self._written] = 0
        self._written = end

    @torch.inference_mode()
    def _record(self, width: int, key_length: int) -> _RecordedStep:
        step = StaticStep(self._network, self._stage, width, key_length)
        step.set_inputs([], 0)
        replay = self._capture(step.run)
        _require_same(step, replay, max(0, key_length - width))
        self._stage.keys_values.zero_()
        return _RecordedStep(step, replay)


def _require_same(step: StaticStep, replay: Run, start: int) -> None:
    """Raises RuntimeError unless `replay` and `step` agree on tokens and positions that were not recorded.

    A graph recorded on another device's stream is empty: it leaves the logits as they are.
    """
    step.set_inputs(range(1, 1 + step.width), start)
    step.run()
    expected = step.logits.to(torch.float32, copy=True)
    step.logits.fill_(torch.nan)
    replay()
    error = torch.linalg.vector_norm(step.logits.float() - expected) / torch.linalg.vector_norm(expected)
    tolerance = _FP32_TOLERANCE if step.logits.dtype is torch.float32 else _NARROW_TOLERANCE
    if not bool(error <= tolerance):  # written so that NaN is refused, too
        raise RuntimeError(f"a recorded step of {step.width} tokens does not compute what it computes unrecorded")


def cuda_graph(run: Run, device: torch.device) -> Run:
    """Records `run`, which works on the CUDA `device`, as a CUDA graph: one launch instead of hundreds.

    Meanwhile other threads may use any device.
    """
    with _RECORDING, torch.cuda.device(device):
        stream, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(2):  # the libraries' initialization on first use cannot be recorded
                run()
        current.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            run()
    return graph.replay


def compiled(run: Run) -> Run:
    """Compiles `run` with torch.compile. Needs a C++ compiler on a CPU, Triton on a GPU, and minutes."""
    compiled_run: Run = torch.compile(run, dynamic=False, fullgraph=True)
    compiled_run()
    return compiled_run


def compiled_graph(run: Run, device: torch.device) -> Run:
    """Compiles `run` and records it as a CUDA graph."""
    return cuda_graph(compiled(run), device)


def _key_lengths(context: int) -> Iterable[int]:
    """The key lengths for which steps are recorded."""
    length = MIN_KEY_LENGTH
    while length < context:
        yield length
        length *= 2
    yield context
