"""Draft tokens for speculative decoding, read in the same forward pass as the known tokens.

Prompt lookup (Saxena, 2023) over the whole file, the last answer and other open files: the draft is what followed the
latest earlier occurrence of the last tokens. A longer match is trusted for more tokens, as in suffix decoding (Oliaro
et al., 2024, arXiv 2411.04975).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from lacuna_inference.in_file.index import FileIndex

MAX_MATCH_TOKENS = 5
"""Tokens of a match; longer matches are not distinguished."""


class PromptLookup:
    """Drafts of at most `max_draft_tokens` tokens. The index that `source` returns is built for the first draft."""

    def __init__(self, source: Callable[[], FileIndex], max_draft_tokens: int) -> None:
        self._source = source
        self._max_draft_tokens = max_draft_tokens

    def draft(self, written: Sequence[int]) -> list[int]:
        """What may follow the text before the hole and `written`; at most as many tokens as the match has."""
        if self._max_draft_tokens < 1:
            return []
        latest, length = 0, 0
        for positions in self._index.matches(self._index.context(written, MAX_MATCH_TOKENS), MAX_MATCH_TOKENS):
            latest, length = int(positions[-1]), length + 1
        return self._index.following(latest, min(self._max_draft_tokens, length)) if length else []

    @cached_property
    def _index(self) -> FileIndex:
        return self._source()
