"""The text of one hole during generation: which tokens are allowed next, and when it ends."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lacuna_inference.api import Fill, Stop, StopReason, TokenLogprob
from lacuna_inference.decoding.context_stop import ContextStop
from lacuna_inference.decoding.healing import Healing
from lacuna_inference.decoding.stopping import TextStop, certain_length, truncate_before
from lacuna_inference.prompt.tokenizer import PromptTokenizer


class Hole:
    """`tokens` are all generated tokens, including those that spell `healed_prefix`; `reason` is set at the end.

    `stop.max_tokens` limits the tokens that add text after `healed_prefix`. `context` knows the text around the hole.
    `excluded` are ids that may not come, each after so many tokens.
    """

    def __init__(
        self,
        healed_prefix: str,
        stop: Stop,
        tokenizer: PromptTokenizer,
        context: ContextStop | None = None,
        excluded: Collection[tuple[int, int]] = (),
    ) -> None:
        self.tokens: list[int] = []
        self.reason = StopReason.MAX_TOKENS if stop.max_tokens < 1 else None
        self.healed_prefix = healed_prefix
        self._stop = stop
        self._tokenizer = tokenizer
        self._healing = Healing(healed_prefix, tokenizer)
        self._detokenizer = tokenizer.detokenizer()
        self._context = context
        self._excluded = excluded
        # between braces, indentation does not tell where a block ends
        self._text_stop = TextStop(replace(stop, dedent_below=None) if context and context.ends_blocks else stop)
        self._logprobs: list[float] = []
        self._top_logprobs: list[tuple[tuple[str, float], ...]] = []
        self._ends: list[int] = []
        """Where each token's text ends in `_text`, in code points."""
        self._text = ""

    def allowed(self) -> NDArray[np.int64] | None:
        """The ids that may come next; None when every token may."""
        allowed = self._healing.allowed()
        excluded = [token for position, token in self._excluded if position == len(self.tokens)]
        if not excluded:
            return allowed
        ids = np.arange(self._tokenizer.size) if allowed is None else allowed
        others = np.setdiff1d(ids, excluded)
        return others if len(others) else allowed

    def repeated(self) -> tuple[int, int] | None:
        """After how many tokens, and with which, this hole began to repeat the text around it, so that nothing is left
        of what was written on a blank line; None otherwise."""
        if self.reason is not StopReason.OUTSIDE or self._text or not (self._context and self._context.on_blank_line):
            return None
        position = len(self.tokens) - self.new_tokens
        return position, self.tokens[position]

    def take(self, token: int, logprob: float, top_logprobs: tuple[tuple[str, float], ...] = ()) -> None:
        """Appends `token`, and checks whether its text ends the hole."""
        if token in self._tokenizer.ends:
            self.reason = StopReason.END_OF_HOLE
            return
        self.tokens.append(token)
        text = self._detokenizer.add(token)
        if not self._healing.take(token):
            return
        self._logprobs.append(logprob)
        self._top_logprobs.append(top_logprobs)
        self._text = text[len(self.healed_prefix) :]
        self._ends.append(len(self._text))
        cuts = [self._text_stop.find(self._text), self._context.find(self._text) if self._context else None]
        if (cut := min((cut for cut in cuts if cut is not None), default=None)) is not None:
            self._text, self.reason = self._text[: cut[0]], cut[1]
        elif len(self._logprobs) >= self._stop.max_tokens:
            self.reason = StopReason.MAX_TOKENS

    def stop_at_line_end(self, even_inside: bool, whole: bool = False) -> None:
        """Ends the hole after its last complete line; without one only if `even_inside`, and then as it is.

        `whole` keeps the text after that line: streamed text cannot be taken back.
        """
        lines, newline, _ = self._text.rpartition("\n")
        if newline or even_inside:
            self._text = lines if newline and not whole else self._text
            self.reason = StopReason.DEADLINE

    @property
    def text(self) -> str:
        """The text so far, or up to where it was cut, without `healed_prefix`."""
        return self._text

    def start_of(self, index: int) -> int:
        """Where the text of token `index` begins, in code points; 0 within `healed_prefix`. There may be one more token
        than there are `tokens`: the one that closed the hole."""
        number = index - (len(self.tokens) - self.new_tokens)
        return self._ends[number - 1] if number > 0 else 0

    def end_at(self, length: int) -> None:
        """Ends the hole, which has ended, earlier: after `length` code points."""
        if length < len(self._text):
            self._text, self.reason = self._text[:length], StopReason.OUTSIDE

    @property
    def new_tokens(self) -> int:
        """Number of tokens that added text after `healed_prefix`."""
        return len(self._logprobs)

    def prompt_ids(self, length: int | None = None) -> list[int]:
        """The ids of the text up to where it was cut, or of its first `length` code points, after `healed_prefix`."""
        shown = self.fill().text[:length]
        text = self.healed_prefix + shown
        ids = [token for number, token in enumerate(self.tokens, 1) if self.start_of(number) <= len(shown)]
        return ids if self._tokenizer.decode(ids) == text else self._tokenizer.encode(text)

    def certain_tokens(self, reported: int = 0) -> tuple[TokenLogprob, ...]:
        """The tokens after the first `reported` whose text can no longer be cut; all once the hole has ended."""
        if self.reason is None:
            certain = certain_length(self._text, self._stop)
            certain = min(certain, self._context.certain) if self._context else certain
            return self._tokens(self._text, certain, reported, whole=True)
        text = self._truncated()
        return self._tokens(text, len(text), reported, whole=False)

    def fill(self) -> Fill:
        """The fill for the caller, as generated so far."""
        mean = sum(self._logprobs) / self.new_tokens if self._logprobs else 0.0
        reason, tokens = self.reason or StopReason.MAX_TOKENS, self.certain_tokens() if self.reason else ()
        return Fill(self._truncated(), reason, self.new_tokens, mean, tokens)

    def _truncated(self) -> str:
        if self._stop.truncate_before is None:
            return self._text
        return truncate_before(self._text, self._stop.truncate_before)

    def _tokens(self, text: str, length: int, first: int, whole: bool) -> tuple[TokenLogprob, ...]:
        """The tokens from index `first` on within the first `length` code points of `text`. The last one may be cut,
        unless `whole`."""
        tokens: list[TokenLogprob] = []
        start = self._ends[first - 1] if first else 0
        for number in range(first, len(self._ends)):
            end, last = self._ends[number], number + 1 == len(self._ends)
            if (whole and end > length) or (number and start >= length and end > start):
                break
            token_text = text[start:] if last and not whole else text[start:end]
            tokens.append(TokenLogprob(token_text, self._logprobs[number], self._top_logprobs[number]))
            start = end
        return tuple(tokens)
