"""The text of one hole while it is written, token by token: what may come next, and when it ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lacuna_inference.api import Fill, Stop, StopReason, TokenLogprob
from lacuna_inference.decoding.healing import Healing
from lacuna_inference.decoding.stopping import TextStop, certain, truncate_before
from lacuna_inference.prompt.tokenizer import PromptTokenizer


class Hole:
    """`tokens` are all that were generated, including those that spell `healed_prefix`; `reason` is set at the end.

    `stop.max_tokens` counts the tokens that bring new text.
    """

    def __init__(self, healed_prefix: str, stop: Stop, tokenizer: PromptTokenizer) -> None:
        self.tokens: list[int] = []
        self.reason = StopReason.MAX_TOKENS if stop.max_tokens < 1 else None
        self.healed_prefix = healed_prefix
        self._stop = stop
        self._tokenizer = tokenizer
        self._healing = Healing(healed_prefix, tokenizer)
        self._detokenizer = tokenizer.detokenizer()
        self._text_stop = TextStop(stop)
        self._logprobs: list[float] = []
        self._alternatives: list[tuple[tuple[str, float], ...]] = []
        self._ends: list[int] = []
        self._shown = ""

    def allowed(self) -> NDArray[np.int64] | None:
        """The ids that may come next; None when every token may."""
        return self._healing.allowed()

    def take(self, token: int, logprob: float, alternatives: tuple[tuple[str, float], ...] = ()) -> None:
        """Adds `token`, and judges the text that it brings."""
        if token in self._tokenizer.ends:
            self.reason = StopReason.END_OF_HOLE
            return
        self.tokens.append(token)
        text = self._detokenizer.add(token)
        if not self._healing.take(token):
            return
        self._logprobs.append(logprob)
        self._alternatives.append(alternatives)
        self._shown = text[len(self.healed_prefix) :]
        self._ends.append(len(self._shown))
        if (cut := self._text_stop.find(self._shown)) is not None:
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

    def prompt_ids(self) -> list[int]:
        """The ids for the text up to where it was cut, `healed_prefix` included."""
        written = self.healed_prefix + self.fill().text
        return self.tokens if self._tokenizer.decode(self.tokens) == written else self._tokenizer.encode(written)

    def certain_tokens(self, told: int = 0) -> tuple[TokenLogprob, ...]:
        """The tokens behind the first `told` whose text nothing takes away any more; all, when the hole has ended."""
        if self.reason is None:
            return self._scored(self._shown, certain(self._shown, self._stop), told, whole=True)
        shown = self._cut()
        return self._scored(shown, len(shown), told, whole=False)

    def fill(self) -> Fill:
        """What goes to the one who asked."""
        mean = sum(self._logprobs) / self.new_tokens if self._logprobs else 0.0
        return Fill(self._cut(), self.reason or StopReason.MAX_TOKENS, self.new_tokens, mean)

    def _cut(self) -> str:
        if self._stop.truncate_before is None:
            return self._shown
        return truncate_before(self._shown, self._stop.truncate_before)

    def _scored(self, shown: str, length: int, first: int, whole: bool) -> tuple[TokenLogprob, ...]:
        """The tokens from number `first` on that make up `length` code points of `shown`; of the last one perhaps a
        part, unless they must be `whole`."""
        found: list[TokenLogprob] = []
        start = self._ends[first - 1] if first else 0
        for number in range(first, len(self._ends)):
            end, last = self._ends[number], number + 1 == len(self._ends)
            if (whole and end > length) or (number and start >= length and end > start):
                break
            text = shown[start:] if last and not whole else shown[start:end]
            found.append(TokenLogprob(text, self._logprobs[number], self._alternatives[number]))
            start = end
        return tuple(found)
