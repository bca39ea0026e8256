"""Incremental detokenization: only the last few tokens are decoded again with each new one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"
"""Decoded for incomplete or invalid UTF-8 bytes."""
_MAX_PENDING_TOKENS = 16
"""Tokens that may wait for the end of a character; more than that are invalid bytes."""
_MAX_INCOMPLETE_TOKENS = 3
"""Most tokens of an incomplete character, which has up to four bytes."""


class Detokenizer:
    """Decodes tokens one at a time, like `PromptTokenizer.decode` for valid text; `text` only grows."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        """`decode` gives the text of ids after other ids, with REPLACEMENT for incomplete characters."""
        self.text = ""
        self.rest = ""
        """The text that is not final yet: a character may continue in the next token."""
        self._decode = decode
        self._final = ""
        self._pending: list[int] = []
        """The ids of `rest`."""

    def add(self, token: int) -> str:
        """The text of all tokens including `token`, without an incomplete character at its end."""
        self._final += self.push(token)
        self.text = (self._final + self.rest).rstrip(REPLACEMENT)
        return self.text

    def push(self, token: int) -> str:
        """Adds `token` and returns the text that becomes final. The cost does not grow with the number of tokens."""
        self._pending.append(token)
        text = self._decode(self._pending)
        count = len(self._pending) if not text.endswith(REPLACEMENT) else self._complete_tokens(text)
        final = text if count == len(self._pending) else self._decode(self._pending[:count]) if count else ""
        del self._pending[:count]
        self.rest = text[len(final) :]
        return final

    def _complete_tokens(self, text: str) -> int:
        """If too many tokens are pending, how many of them end at a character boundary: all but the last few."""
        if len(self._pending) <= _MAX_PENDING_TOKENS:
            return 0
        for left in range(_MAX_INCOMPLETE_TOKENS, 2 * _MAX_INCOMPLETE_TOKENS + 1):
            count = len(self._pending) - left
            if self._decode(self._pending[:count]) + self._decode(self._pending[count:]) == text:
                return count
        return 0
