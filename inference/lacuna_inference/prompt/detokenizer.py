"""The text of tokens that come one by one: only the last few are decoded again with each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"
"""Stands where the bytes of a character are not all there, or are none of a character."""
_MAX_OPEN_TOKENS = 16
"""Tokens that wait for the end of a character; more are the bytes of none."""
_UNFINISHED = 3
"""Tokens at most that a character lacks the end of: it has up to four bytes."""


class Detokenizer:
    """What `TokenText.decode` says of the tokens of valid text so far, in `text`, which only grows."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        """`decode` gives the text of ids behind others, with REPLACEMENT for what is unfinished."""
        self.text = ""
        self.rest = ""
        """The text that is not settled yet: a character may go on in the next token."""
        self._decode = decode
        self._settled = ""
        self._open: list[int] = []
        """The ids of `rest`."""

    def add(self, token: int) -> str:
        """The text of all tokens with `token` behind them; an unfinished character at its end is left out."""
        self._settled += self.settle(token)
        self.text = (self._settled + self.rest).rstrip(REPLACEMENT)
        return self.text

    def settle(self, token: int) -> str:
        """The text that is settled with `token`. Costs the same for every token, however many came before."""
        self._open.append(token)
        shown = self._decode(self._open)
        count = len(self._open) if not shown.endswith(REPLACEMENT) else self._whole(shown)
        settled = shown if count == len(self._open) else self._decode(self._open[:count]) if count else ""
        del self._open[:count]
        self.rest = shown[len(settled) :]
        return settled

    def _whole(self, shown: str) -> int:
        """How many of too many open tokens end where no character is cut in two: all but the last few."""
        if len(self._open) <= _MAX_OPEN_TOKENS:
            return 0
        for left in range(_UNFINISHED, 2 * _UNFINISHED + 1):
            count = len(self._open) - left
            if self._decode(self._open[:count]) + self._decode(self._open[count:]) == shown:
                return count
        return 0
