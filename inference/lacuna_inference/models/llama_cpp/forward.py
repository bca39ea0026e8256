"""`Forward` over llama.cpp: KV caches are its sequences, of which it has room for a few."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.forward import Step
from lacuna_inference.models.forward.linear import DRAFT_LENGTHS, MAX_DRAFT_COST
from lacuna_inference.models.forward.threads import ThreadChooser
from lacuna_inference.models.llama_cpp import library
from lacuna_inference.models.llama_cpp.context import Context, Part

SEQUENCES = 4
"""KV caches that llama.cpp holds at a time: it takes their memory at the start."""
_WARM_UP_TOKENS = 8
_RUNS = 3


def name() -> str | None:
    """What runs the model, with its version; None if llama.cpp is not installed or cannot be used."""
    found = library.load()
    return None if found is None else f"llama.cpp ({found.name} {found.version})"


def read(file: Path, context: int, gpu: bool) -> LlamaCppForward:
    """Loads the GGUF file, or the first part of one. Raises ModelUnusable."""
    found = library.load()
    if found is None:
        raise ModelUnusable(f"llama.cpp, which would run {file}, is not installed.", f"Run {library.INSTALL}.")
    return LlamaCppForward(Context(found, file, context, SEQUENCES, gpu), torch.get_num_threads())


class SequenceCache:
    """A KV cache: a sequence of llama.cpp, or a copy of what that was, while others take its place."""

    def __init__(self, forward: LlamaCppForward) -> None:
        self._forward = forward
        self.length = 0
        self.sequence: int | None = None
        self.copy: Tensor | None = None

    @property
    def nbytes(self) -> int:
        return self._forward.kv_shape(self.length)[0] if self.length else 0

    def rollback(self, length: int) -> int:
        """Drops everything after the first `length` tokens; returns how many it kept: none of a recurrent state."""
        if length >= self.length:
            return self.length
        if length > 0 and self._forward.take_back(self, length):
            self.length = length
        else:
            self._forward.release(self)
        return self.length


class LlamaCppForward:
    """The sequences of one `Context`. Not thread-safe.

    Logits depend a little on how many tokens a pass reads and on the number of threads, as llama.cpp's own do.
    """

    def __init__(self, context: Context, threads: int) -> None:
        """Passes use up to `threads` threads."""
        self._context = context
        self._threads = ThreadChooser(threads, context.set_threads)
        context.set_threads(threads)
        self._holders: list[weakref.ref[SequenceCache] | None] = [None] * SEQUENCES
        self._used = list(range(SEQUENCES))
        """The sequences, the least recently used first."""
        self._token_bytes = self._first_bytes = 0
        self.max_draft_tokens = self._measured()

    def new_kv_cache(self) -> SequenceCache:
        return SequenceCache(self)

    def step(self, ids: Sequence[int], kv_cache: SequenceCache, n_logits: int = 1) -> Tensor:
        """Appends `ids` to `kv_cache`; returns logits [n_logits, vocabulary] after each of the last `n_logits`."""
        found: list[Tensor] = []
        for start in range(0, len(ids), self._context.max_batch):
            chunk = ids[start : start + self._context.max_batch]
            wanted = max(0, start + len(chunk) - (len(ids) - n_logits))
            found += self._pass([Step(chunk, kv_cache, min(wanted, len(chunk)))])
        return torch.cat(found) if len(found) > 1 else found[0]

    def step_batch(self, steps: Sequence[Step]) -> list[Tensor] | None:
        """Runs steps of different KV caches in one pass, if so many are held at a time."""
        if len(steps) > SEQUENCES or sum(len(step.ids) for step in steps) > self._context.max_batch:
            return None
        return self._pass(steps)

    @property
    def kv_dtype(self) -> torch.dtype:
        return torch.uint8

    def kv_shape(self, length: int) -> tuple[int, ...]:
        """The bytes that llama.cpp keeps of `length` tokens."""
        return (self._first_bytes + self._token_bytes * length,)

    def export_kv(self, kv_cache: SequenceCache) -> Tensor:
        """A copy of the keys and values in `kv_cache`, in host memory."""
        return self._context.state(self._place(kv_cache))

    def import_kv(self, keys_values: Tensor, length: int) -> SequenceCache:
        """A new KV cache with these keys and values of `length` tokens."""
        kv_cache = self.new_kv_cache()
        kv_cache.copy, kv_cache.length = keys_values, length
        return kv_cache

    def take_back(self, kv_cache: SequenceCache, length: int) -> bool:
        """Drops the tokens after the first `length`; False if that is impossible."""
        return self._context.drop(self._place(kv_cache), length)

    def release(self, kv_cache: SequenceCache) -> None:
        """Empties `kv_cache`."""
        if kv_cache.sequence is not None:
            self._context.drop(kv_cache.sequence)
            self._holders[kv_cache.sequence] = None
        kv_cache.sequence = kv_cache.copy = None
        kv_cache.length = 0

    def _pass(self, steps: Sequence[Step]) -> list[Tensor]:
        caches = [step.kv_cache for step in steps]
        parts = [
            Part(step.ids, self._place(cache, caches), cache.length, step.n_logits)
            for step, cache in zip(steps, caches, strict=True)
        ]
        logits = self._threads.run(sum(len(part.ids) for part in parts), lambda: self._context.read(parts))
        for step, cache in zip(steps, caches, strict=True):
            cache.length += len(step.ids)
        return logits

    def _place(self, kv_cache: SequenceCache, beside: Sequence[SequenceCache] = ()) -> int:
        """The sequence of `kv_cache`; one that it does not have yet is taken from a cache that is not in `beside`."""
        if kv_cache.sequence is None:
            kept = {other.sequence for other in beside}
            kv_cache.sequence = next(
                (n for n in self._used if self._holder(n) is None),
                next(n for n in self._used if n not in kept),
            )
            self._park(kv_cache.sequence)
            self._holders[kv_cache.sequence] = weakref.ref(kv_cache)
            if kv_cache.copy is not None:
                self._context.restore(kv_cache.sequence, kv_cache.copy)
                kv_cache.copy = None
        self._used.remove(kv_cache.sequence)
        self._used.append(kv_cache.sequence)
        return kv_cache.sequence

    def _holder(self, sequence: int) -> SequenceCache | None:
        reference = self._holders[sequence]
        return None if reference is None else reference()

    def _park(self, sequence: int) -> None:
        """Empties a sequence; the cache that it belongs to keeps a copy."""
        if (holder := self._holder(sequence)) is not None:
            holder.copy, holder.sequence = self._context.state(sequence), None
        self._context.drop(sequence)
        self._holders[sequence] = None

    def _measured(self) -> int:
        """The longest draft that costs little; measures bytes and time of some passes."""
        kv_cache, sizes = self.new_kv_cache(), []
        for _ in range(2):
            self.step([0] * _WARM_UP_TOKENS, kv_cache)
            sizes.append(self._context.state_bytes(self._place(kv_cache)))
        self._token_bytes = (sizes[1] - sizes[0]) // _WARM_UP_TOKENS
        self._first_bytes = sizes[0] - self._token_bytes * _WARM_UP_TOKENS
        alone = self._seconds(kv_cache, 1)
        longest = (n for n in DRAFT_LENGTHS if self._seconds(kv_cache, n + 1) <= MAX_DRAFT_COST * alone)
        return next(longest, 0)

    def _seconds(self, kv_cache: SequenceCache, rows: int) -> float:
        """The shortest of several passes with so many tokens."""
        runs = []
        for _ in range(_RUNS):
            kv_cache.rollback(_WARM_UP_TOKENS)
            start = time.perf_counter()
            self.step([0] * rows, kv_cache, rows)
            runs.append(time.perf_counter() - start)
        return min(runs)
