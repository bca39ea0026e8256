"""The text of tokens that come one by one: only the last few are decoded again with each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"
"""Stands where the bytes of a character are not all there, or are none of a character."""
_MOST_OPEN = 16
"""Tokens that wait for the end of a character; more are the bytes of none."""
_UNFINISHED = 3
"""Tokens at most that a character lacks the end of: it has up to four bytes."""


class Detokenizer:
    """What `TokenText.decode` says of all tokens so far, in `text`, which only grows."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        """`decode` gives the text of ids behind others, with REPLACEMENT for what is unfinished."""
        self.text = ""
        self._decode = decode
        self._settled = ""
        self._open: list[int] = []
        """The ids behind the text that is settled: a character may go on in the next one."""

    def add(self, token: int) -> str:
        """The text of all tokens with `token` behind them; an unfinished character at its end is left out."""
        self._open.append(token)
        shown = self._decode(self._open)
        self.text = (self._settled + shown).rstrip(REPLACEMENT)
        if not shown.endswith(REPLACEMENT):
            self._settle(shown, len(self._open))
        elif len(self._open) > _MOST_OPEN:
            self._settle_most(shown)
        return self.text

    def _settle_most(self, shown: str) -> None:
        """Settles all but the last few tokens, at a place where no character is cut in two."""
        for left in range(_UNFINISHED, 2 * _UNFINISHED + 1):
            count = len(self._open) - left
            settled = self._decode(self._open[:count])
            if settled + self._decode(self._open[count:]) == shown:
                self._settle(settled, count)
                return

    def _settle(self, shown: str, count: int) -> None:
        self._settled += shown
        del self._open[:count]
