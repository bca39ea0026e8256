"""The contract of a forward pass: what the engine asks of a model, and what it is given.

`models/` implements it; `cache/` and `decoding/` know nothing else of models.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

VocabRow = NDArray[np.float32]
"""A number for each token of the vocabulary."""

PREFILL_CHUNK = 256
"""Tokens of one prefill step; cancel is looked at between two of them."""
MAX_CACHED_LOGITS = 128
"""Positions whose logits are kept."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Step:
    """Tokens to append to a slot; logits are wanted after each of the last `rows` of them."""

    ids: Sequence[int]
    kv_cache: Any
    n_logits: int = 1


Steps: TypeAlias = Generator[Step, Tensor, _Result]
"""Work that names the steps it needs, and is sent the logits [rows, vocabulary] of each: whoever drives it may take
the steps of several in one pass."""


class KVCache(Protocol):
    """The KV cache of one sequence; `held` tokens are in it, positions follow from it."""

    @property
    def length(self) -> int: ...

    @property
    def nbytes(self) -> int: ...

    def rollback(self, length: int) -> int:
        """Forgets everything behind the first `length` tokens, or more; how many it kept."""
        ...


class Forward(Protocol):
    """A model that reads tokens into slots. `max_draft_tokens` tokens more cost little more than one."""

    @property
    def max_draft_tokens(self) -> int: ...

    def new_kv_cache(self) -> Any:
        """A new, empty slot."""
        ...

    def step(self, ids: Sequence[int], kv_cache: Any, n_logits: int = 1) -> Tensor:
        """Appends `ids` to `slot`; logits [rows, vocabulary] after each of the last `rows` of them."""
        ...

    def step_batch(self, asked: Sequence[Step]) -> list[Tensor] | None:
        """Several steps, of different slots, in one pass; None where each must be done by itself.

        After a failure none was done.
        """
        ...


def run_steps(steps: Steps[_Result], forward: Forward) -> _Result:
    """Does `steps` with `forward`, one after the other."""
    try:
        step = next(steps)
        while True:
            step = steps.send(forward.step(step.ids, step.kv_cache, step.n_logits))
    except StopIteration as end:
        result: _Result = end.value
        return result
    finally:
        steps.close()
