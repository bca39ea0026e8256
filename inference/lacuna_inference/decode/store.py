"""What the model's KV cache holds, token by token, and how a new prompt makes use of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from lacuna_inference.api import CancelToken
from lacuna_inference.errors import RequestCancelled

PREFILL_CHUNK = 256
"""Tokens of one prefill step; cancel is looked at between two of them."""


class Forward(Protocol):
    """A model over one KV cache. `held` tokens are in the cache; positions follow from it."""

    @property
    def held(self) -> int: ...

    def step(self, ids: Sequence[int]) -> Tensor:
        """Appends `ids` to the cache; logits [vocabulary] after the last of them."""
        ...

    def rollback(self, length: int) -> int:
        """Forgets everything behind the first `length` tokens, or more; how many it kept."""
        ...


class PrefixStore:
    """The tokens behind a `Forward`, so that a prompt only costs what differs from the one before it."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._tokens: list[int] = []
        self.reused = 0
        self.evaluated = 0
        self.passes = 0

    @property
    def tokens(self) -> tuple[int, ...]:
        return tuple(self._tokens)

    def advance(self, ids: Sequence[int], cancel: CancelToken) -> Tensor:
        """Makes the cache hold exactly `ids` and returns the logits after the last; [vocabulary].

        `ids` must not be empty; at least one token is evaluated, because the logits of held tokens are not kept.
        After RequestCancelled the chunks that were done stay in the cache.
        """
        if not ids:
            raise ValueError("a prompt holds at least one token")
        self.rollback(min(self._common(ids), len(ids) - 1))
        self.reused += len(self._tokens)
        while True:
            if cancel.cancelled:
                raise RequestCancelled
            held = len(self._tokens)
            logits = self._step(ids[held : held + PREFILL_CHUNK])
            if len(self._tokens) == len(ids):
                return logits

    def append(self, token: int) -> Tensor:
        """Logits [vocabulary] after one more token."""
        return self._step([token])

    def rollback(self, length: int) -> None:
        """Keeps at most the first `length` tokens."""
        if length < len(self._tokens):
            del self._tokens[self._forward.rollback(length) :]

    def clear(self) -> None:
        """Forgets everything, also after a step that failed half way."""
        self._forward.rollback(0)
        self._tokens.clear()

    def _step(self, ids: Sequence[int]) -> Tensor:
        logits = self._forward.step(ids)
        self._tokens += ids
        self.evaluated += len(ids)
        self.passes += 1
        return logits

    def _common(self, ids: Sequence[int]) -> int:
        count = 0
        for held, asked in zip(self._tokens, ids, strict=False):
            if held != asked:
                break
            count += 1
        return count
