"""The contract of a forward pass between the engine and a model.

`models/` implements it; `cache/` and `decoding/` know nothing else about models.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

VocabRow = NDArray[np.float32]
"""A number for each token of the vocabulary."""

PREFILL_CHUNK = 256
"""Tokens of one prefill step; cancellation is checked between steps."""
IDLE_CHUNK = 64
"""The same while nobody waits for the answer: a request that arrives waits for the step to end."""
MAX_CACHED_LOGITS, _CACHED_LOGITS_BYTES = 128, 2**25
"""Positions whose logits are kept at most, and the bytes that they may take."""
MIN_CACHED_LOGITS = 16
"""At least as many, which is more than those of a token and its longest draft."""

_Result = TypeVar("_Result")


def cached_logits(row_bytes: int) -> int:
    """The number of positions whose logits are kept, if those of one take `row_bytes`."""
    return max(MIN_CACHED_LOGITS, min(MAX_CACHED_LOGITS, _CACHED_LOGITS_BYTES // row_bytes))


@dataclass(frozen=True, slots=True)
class Step:
    """Tokens to append to a KV cache; logits are needed after each of the last `n_logits` of them.

    A step without tokens needs no pass: it lets others run.
    """

    ids: Sequence[int]
    kv_cache: Any
    n_logits: int = 1


PAUSE = Step((), None, 0)
"""Is answered by `NO_LOGITS`."""
NO_LOGITS = torch.zeros(0, 0)


Steps: TypeAlias = Generator[Step, Tensor, _Result]
"""A generator that yields the steps it needs and is sent the logits [n_logits, vocabulary] of each. The caller may
batch the steps of several generators into one pass."""


class KVCache(Protocol):
    """The KV cache of one sequence. It holds `length` tokens, which determines the next position."""

    @property
    def length(self) -> int: ...

    @property
    def nbytes(self) -> int: ...

    def rollback(self, length: int) -> int:
        """Drops everything after the first `length` tokens, or more; returns how many it kept."""
        ...


class Forward(Protocol):
    """A model that reads tokens into KV caches. Up to `max_draft_tokens` extra tokens add little to a step's cost."""

    @property
    def max_draft_tokens(self) -> int: ...

    def new_kv_cache(self) -> Any:
        """A new, empty KV cache."""
        ...

    def step(self, ids: Sequence[int], kv_cache: Any, n_logits: int = 1) -> Tensor:
        """Appends `ids` to `kv_cache`; returns logits [n_logits, vocabulary] after each of the last `n_logits`."""
        ...

    def step_batch(self, steps: Sequence[Step]) -> list[Tensor] | None:
        """Runs steps of different KV caches in one pass; returns None where each must be run separately.

        After a failure none of them was run.
        """
        ...


@runtime_checkable
class ExportingForward(Protocol):
    """What a `Forward` can do besides: copy KV caches to and from host memory, bit by bit."""

    @property
    def kv_dtype(self) -> torch.dtype: ...

    def kv_shape(self, length: int) -> tuple[int, ...]:
        """The shape of the keys and values of `length` tokens, as `export_kv` returns them."""
        ...

    def export_kv(self, kv_cache: Any, length: int | None = None) -> Tensor:
        """A copy of the keys and values of the first `length` tokens, or all, contiguous and in host memory."""
        ...

    def import_kv(self, keys_values: Tensor, length: int) -> Any:
        """A new KV cache that holds what `export_kv` returned for `length` tokens."""
        ...


def exporting(forward: Forward) -> ExportingForward | None:
    """`forward` itself if its KV caches can be copied to host memory, otherwise None."""
    return forward if isinstance(forward, ExportingForward) else None


def run_steps(steps: Steps[_Result], forward: Forward) -> _Result:
    """Runs `steps` on `forward`, one at a time."""
    try:
        step = next(steps)
        while True:
            logits = forward.step(step.ids, step.kv_cache, step.n_logits) if step.ids else NO_LOGITS
            step = steps.send(logits)
    except StopIteration as end:
        result: _Result = end.value
        return result
    finally:
        steps.close()
