"""The tokens of the text around a hole, indexed for n-gram lookup by the mixer and by prompt lookup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lacuna_inference.prompt.tokenizer import PromptTokenizer

Ids = NDArray[np.int64]

MAX_CODE_POINTS_BEFORE, MAX_CODE_POINTS_AFTER = 200_000, 50_000
"""Code points around the hole that are indexed."""
_HOLE = np.array([-1])
"""Marks missing text; no token matches it."""


class FileIndex:
    """The whole file, including what lies outside the model's context; `before` and `after` are the hole's sides.

    Nothing matches in the cursor's own line: lines seldom repeat themselves, but an answer that copies its own line
    does so forever. The text is tokenized when its tokens are first needed, which for many models is never.
    """

    def __init__(self, parts: Sequence[str], healed_prefix: str, tokenizer: PromptTokenizer) -> None:
        """`parts` are the texts around the hole; `healed_prefix` ends the first and will be generated again."""
        self._parts, self._healed_prefix, self._tokenizer = parts, healed_prefix, tokenizer

    def in_parts(self) -> Iterator[None]:
        """Tokenizes a long text a part at a time, so that others can run between them; yields after each."""
        yield from self._tokenizer.lines_in_parts(self._around_line[0])
        yield from self._tokenizer.lines_in_parts(self._after)

    @cached_property
    def before(self) -> Ids:
        """The tokens before the hole."""
        return np.concatenate(self._above_and_line)

    @cached_property
    def after(self) -> Ids:
        """The tokens after the hole."""
        return self._tokenizer.encode_lines(self._after)

    @cached_property
    def _above_and_line(self) -> tuple[Ids, Ids]:
        above, line = self._around_line
        return self._tokenizer.encode_lines(above), self._tokenizer.encode_lines(line)

    @cached_property
    def _around_line(self) -> tuple[str, str]:
        """The text above the cursor's line, and that of the line before the hole."""
        first = self._parts[0]
        before = first[: len(first) - len(self._healed_prefix)][-MAX_CODE_POINTS_BEFORE:]
        line_start = before.rfind("\n") + 1
        return before[:line_start], before[line_start:]

    @cached_property
    def _after(self) -> str:
        return "".join(self._parts[1:])[:MAX_CODE_POINTS_AFTER]

    @cached_property
    def _tokens(self) -> Ids:
        above, line = self._above_and_line
        return np.concatenate((above, np.full(len(line), -1), _HOLE, self.after, _HOLE))

    def followed_by(self, tokens: Sequence[int]) -> FileIndex:
        """An index that also holds `tokens`, text from outside the file, as the latest."""
        longer = copy(self)
        longer._tokens = np.concatenate((self._tokens, np.array(tokens, np.int64), _HOLE))
        return longer

    def preceded_by(self, texts: Sequence[Ids]) -> FileIndex:
        """An index that also holds the tokens of other texts, before all others."""
        longer = copy(self)
        separated = [part for text in texts for part in (text, _HOLE)]
        longer._tokens = np.concatenate((*separated, self._tokens))
        return longer

    def context(self, written: Sequence[int], length: int) -> list[int]:
        """The last `length` tokens before the next one; `written` are the hole's tokens so far."""
        latest = list(written[-length:])
        missing = length - len(latest)
        return [*self.before[max(0, len(self.before) - missing) :].tolist(), *latest] if missing else latest

    def matches(self, context: Sequence[int], max_length: int) -> Iterator[Ids]:
        """Positions after occurrences of the last 1, 2 ... `max_length` tokens of `context`, while there are any.

        Each is in ascending order.
        """
        positions: Ids = np.arange(0)
        for length in range(1, min(max_length, len(context)) + 1):
            if length == 1:
                positions = np.flatnonzero(self._tokens[:-1] == context[-1]) + 1
                positions = positions[self._tokens[positions] >= 0]
            else:
                positions = positions[positions >= length]
                positions = positions[self._tokens[positions - length] == context[-length]]
            if not len(positions):
                return
            yield positions

    def tokens_at(self, positions: Ids) -> Ids:
        """The tokens at `positions`."""
        tokens: Ids = self._tokens[positions]
        return tokens

    def following(self, position: int, count: int) -> list[int]:
        """Up to `count` tokens from `position` on, not beyond a hole."""
        tokens: list[int] = self._tokens[position : position + count].tolist()
        return tokens[: tokens.index(-1)] if -1 in tokens else tokens
