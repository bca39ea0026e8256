"""The text of one hole while it is written, token by token: what may come next, and when it ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lacuna_inference.api import Fill, Scored, Stop, StopReason
from lacuna_inference.decode.healing import Healing
from lacuna_inference.decode.stopping import certain, text_stop, truncate_before
from lacuna_inference.prompt.tokens import TokenText

_PART_OF_A_CHARACTER = "\ufffd"
"""Stands where the bytes of a character are not all there yet."""


class Hole:
    """`tokens` are all that were written, those that spell `begun` again among them; `reason` is set at the end.

    `stop.max_tokens` counts the tokens that bring new text.
    """

    def __init__(self, begun: str, stop: Stop, text: TokenText) -> None:
        self.tokens: list[int] = []
        self.reason = StopReason.MAX_TOKENS if stop.max_tokens < 1 else None
        self.begun = begun
        self._stop = stop
        self._text = text
        self._healing = Healing(begun, text)
        self._logprobs: list[float] = []
        self._alternatives: list[tuple[tuple[str, float], ...]] = []
        self._ends: list[int] = []
        self._shown = ""

    def allowed(self) -> NDArray[np.int64] | None:
        """The ids that may come next; None when every token may."""
        return self._healing.allowed()

    def take(self, token: int, logprob: float, alternatives: tuple[tuple[str, float], ...] = ()) -> None:
        """Adds `token`; the text is judged anew after each."""
        if token in self._text.ends:
            self.reason = StopReason.END_OF_HOLE
            return
        self.tokens.append(token)
        if not self._healing.take(token):
            return
        self._logprobs.append(logprob)
        self._alternatives.append(alternatives)
        self._shown = self._text.decode(self.tokens)[len(self.begun) :]
        self._ends.append(len(self._shown.rstrip(_PART_OF_A_CHARACTER)))
        if (cut := text_stop(self._shown, self._stop)) is not None:
            self._shown, self.reason = self._shown[: cut[0]], cut[1]
        elif len(self._logprobs) >= self._stop.max_tokens:
            self.reason = StopReason.MAX_TOKENS

    def stop_at_line_end(self, even_inside: bool, whole: bool = False) -> None:
        """Ends the hole behind its last whole line, if there is one; `even_inside` also where it stands.

        `whole` keeps what stands behind that line: it was told already, and what was told is not taken back.
        """
        lines, newline, _ = self._shown.rpartition("\n")
        if newline or even_inside:
            self._shown = lines if newline and not whole else self._shown
            self.reason = StopReason.DEADLINE

    @property
    def new_tokens(self) -> int:
        """How many tokens have brought new text."""
        return len(self._logprobs)

    def held(self) -> list[int]:
        """The ids for the text up to where it was cut, `begun` included."""
        written = self.begun + self.fill().text
        return self.tokens if self._text.decode(self.tokens) == written else self._text.encode(written)

    def certain(self) -> tuple[Scored, ...]:
        """The tokens whose text nothing takes away any more; all of the fill's when the hole has ended."""
        if self.reason is None:
            return self._scored(self._shown[: certain(self._shown, self._stop)], whole=True)
        return self._scored(self._cut(), whole=False)

    def fill(self) -> Fill:
        """What goes to the one who asked."""
        mean = sum(self._logprobs) / self.new_tokens if self._logprobs else 0.0
        return Fill(self._cut(), self.reason or StopReason.MAX_TOKENS, self.new_tokens, mean)

    def _cut(self) -> str:
        if self._stop.truncate_before is None:
            return self._shown
        return truncate_before(self._shown, self._stop.truncate_before)

    def _scored(self, shown: str, whole: bool) -> tuple[Scored, ...]:
        """The tokens that make up `shown`; of the last one perhaps a part, unless they must be `whole`."""
        found: list[Scored] = []
        start = 0
        for end, logprob, alternatives in zip(self._ends, self._logprobs, self._alternatives, strict=True):
            last = len(found) + 1 == len(self._ends)
            if end > len(shown) and whole:
                break
            if found and start >= len(shown) and end > start:
                break
            found.append(Scored(shown[start:] if last and not whole else shown[start:end], logprob, alternatives))
            start = max(start, end)
        return tuple(found)
