"""The tokens of the text around a hole: what n-grams are taken from, for the mixture and for drafts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lacuna_inference.prompt.tokenizer import PromptTokenizer

Ids = NDArray[np.int64]

MAX_CODE_POINTS_BEFORE, MAX_CODE_POINTS_AFTER = 200_000, 50_000
"""Code points around the hole that are looked at."""
_HOLE = np.array([-1])
"""Stands where text is missing; no token matches it."""


class FileIndex:
    """The whole file, also what lies outside the model's context; `before` and `after` are the sides of the hole.

    Nothing is matched in the cursor's own line: lines seldom repeat themselves, but answers that copy them do for ever.
    The text is tokenised when its tokens are first asked for, which for many models is never.
    """

    def __init__(self, parts: Sequence[str], healed_prefix: str, tokenizer: PromptTokenizer) -> None:
        """`parts` are the texts around the hole; `healed_prefix` ends the first and will be written again."""
        self._parts, self._begun, self._tokenizer = parts, healed_prefix, tokenizer

    @cached_property
    def before(self) -> Ids:
        """The tokens before the hole."""
        return np.concatenate(self._above_and_line)

    @cached_property
    def after(self) -> Ids:
        """The tokens behind the hole."""
        return self._tokenizer.encode_lines("".join(self._parts[1:])[:MAX_CODE_POINTS_AFTER])

    @cached_property
    def _above_and_line(self) -> tuple[Ids, Ids]:
        first = self._parts[0]
        before = first[: len(first) - len(self._begun)][-MAX_CODE_POINTS_BEFORE:]
        line_start = before.rfind("\n") + 1
        return self._tokenizer.encode_lines(before[:line_start]), self._tokenizer.encode_lines(before[line_start:])

    @cached_property
    def _tokens(self) -> Ids:
        above, line = self._above_and_line
        return np.concatenate((above, np.full(len(line), -1), _HOLE, self.after, _HOLE))

    def followed_by(self, tokens: Sequence[int]) -> FileIndex:
        """Another history, in which `tokens`, text that stands nowhere in the file, are the latest there is."""
        longer = copy(self)
        longer._tokens = np.concatenate((self._tokens, np.array(tokens, np.int64), _HOLE))
        return longer

    def preceded_by(self, texts: Sequence[Ids]) -> FileIndex:
        """Another history, in which the tokens of other texts come before all others."""
        longer = copy(self)
        apart = [piece for text in texts for piece in (text, _HOLE)]
        longer._tokens = np.concatenate((*apart, self._tokens))
        return longer

    def context(self, written: Sequence[int], length: int) -> list[int]:
        """The last `length` tokens before what comes next; `written` are the hole's tokens so far."""
        latest = list(written[-length:])
        missing = length - len(latest)
        return [*self.before[max(0, len(self.before) - missing) :].tolist(), *latest] if missing else latest

    def matches(self, context: Sequence[int], longest: int) -> Iterator[Ids]:
        """Places behind the last 1, 2 ... `longest` tokens of `context`, in ascending order, while there are any."""
        places: Ids = np.arange(0)
        for length in range(1, min(longest, len(context)) + 1):
            if length == 1:
                places = np.flatnonzero(self._tokens[:-1] == context[-1]) + 1
                places = places[self._tokens[places] >= 0]
            else:
                places = places[places >= length]
                places = places[self._tokens[places - length] == context[-length]]
            if not len(places):
                return
            yield places

    def tokens_at(self, places: Ids) -> Ids:
        """The tokens at `places`."""
        found: Ids = self._tokens[places]
        return found

    def following(self, place: int, count: int) -> list[int]:
        """Up to `count` tokens from `place` on, not beyond a hole."""
        tokens: list[int] = self._tokens[place : place + count].tolist()
        return tokens[: tokens.index(-1)] if -1 in tokens else tokens
