"""Guesses of what comes next, to be read in the same forward pass as what is known.

Prompt lookup (Saxena, 2023) over the whole file, the last answer and other open files: the latest place where the last
tokens stood before says how it goes on. A longer match is trusted for more tokens, as in suffix decoding (Oliaro et
al., 2024, arXiv 2411.04975).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from lacuna_inference.in_file.index import FileIndex

MAX_MATCH_TOKENS = 5
"""Tokens of a match; longer ones are not told apart."""


class PromptLookup:
    """Drafts of at most `widest` tokens. What they are taken from is made when the first is wanted."""

    def __init__(self, source: Callable[[], FileIndex], widest: int) -> None:
        self._source = source
        self._max_draft_tokens = widest

    def draft(self, written: Sequence[int]) -> list[int]:
        """What may follow the text before the hole and `written`; as many tokens as the match is long."""
        if self._max_draft_tokens < 1:
            return []
        best, length = 0, 0
        for places in self._index.matches(self._index.context(written, MAX_MATCH_TOKENS), MAX_MATCH_TOKENS):
            best, length = int(places[-1]), length + 1
        return self._index.following(best, min(self._max_draft_tokens, length)) if length else []

    @cached_property
    def _index(self) -> FileIndex:
        return self._source()
