"""The text of one hole while it is written, token by token: what may come next, and when it ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lacuna_inference.api import Fill, Stop, StopReason
from lacuna_inference.decode.healing import Healing
from lacuna_inference.decode.stopping import text_stop, truncate_before
from lacuna_inference.prompt.tokens import TokenText


class Hole:
    """`tokens` are all that were written, those that spell `begun` again among them; `reason` is set at the end.

    `stop.max_tokens` counts the tokens that bring new text.
    """

    def __init__(self, begun: str, stop: Stop, text: TokenText) -> None:
        self.tokens: list[int] = []
        self.reason = StopReason.MAX_TOKENS if stop.max_tokens < 1 else None
        self._begun = begun
        self._stop = stop
        self._text = text
        self._healing = Healing(begun, text)
        self._logprobs: list[float] = []
        self._shown = ""

    def allowed(self) -> NDArray[np.int64] | None:
        """The ids that may come next; None when every token may."""
        return self._healing.allowed()

    def take(self, token: int, logprob: float) -> None:
        """Adds `token`; the text is judged anew after each."""
        if token in self._text.ends:
            self.reason = StopReason.END_OF_HOLE
            return
        self.tokens.append(token)
        if not self._healing.take(token):
            return
        self._logprobs.append(logprob)
        self._shown = self._text.decode(self.tokens)[len(self._begun) :]
        if (cut := text_stop(self._shown, self._stop)) is not None:
            self._shown, self.reason = self._shown[: cut[0]], cut[1]
        elif len(self._logprobs) >= self._stop.max_tokens:
            self.reason = StopReason.MAX_TOKENS

    def stop_at_line_end(self, even_inside: bool) -> None:
        """Ends the hole behind its last whole line, if there is one; `even_inside` also where it stands."""
        whole, newline, _ = self._shown.rpartition("\n")
        if newline or even_inside:
            self._shown = whole if newline else self._shown
            self.reason = StopReason.DEADLINE

    @property
    def new_tokens(self) -> int:
        """How many tokens have brought new text."""
        return len(self._logprobs)

    def held(self) -> list[int]:
        """The ids for the text up to where it was cut, `begun` included."""
        written = self._begun + self.fill().text
        return self.tokens if self._text.decode(self.tokens) == written else self._text.encode(written)

    def fill(self) -> Fill:
        """What goes to the one who asked."""
        shown = self._shown
        if self._stop.truncate_before is not None:
            shown = truncate_before(shown, self._stop.truncate_before)
        mean = sum(self._logprobs) / self.new_tokens if self._logprobs else 0.0
        return Fill(shown, self.reason or StopReason.MAX_TOKENS, self.new_tokens, mean)
