"""The decode loop: from a prompt's token ids to the text of its holes, one token at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from torch import Tensor

from lacuna_inference.api import CancelToken, Fill, Sampling, Stop, StopReason
from lacuna_inference.decode.sampling import Chooser
from lacuna_inference.decode.stopping import text_stop, truncate_before
from lacuna_inference.decode.store import PrefixStore
from lacuna_inference.errors import RequestCancelled
from lacuna_inference.prompt.plan import Plan
from lacuna_inference.prompt.tokens import TokenText


@dataclass(slots=True)
class Clock:
    """Times of one request, in seconds after `started`."""

    started: float = field(default_factory=time.perf_counter)
    first_token: float = 0.0

    def token(self) -> None:
        if not self.first_token:
            self.first_token = time.perf_counter() - self.started


@dataclass(frozen=True, slots=True)
class Decoder:
    """A warm model: its cache, its text and the length of its context, in tokens."""

    store: PrefixStore
    text: TokenText
    context: int

    def fill(self, plan: Plan, stop: Stop, sampling: Sampling, cancel: CancelToken, clock: Clock) -> tuple[Fill, ...]:
        """A fill for every hole of `plan`, in order. Raises RequestCancelled between two tokens."""
        chooser = Chooser(sampling, self.text.banned, self.text.size)
        ids = list(plan.ids)
        fills = []
        for number in range(plan.holes):
            if number:
                ids += plan.between[number - 1]
            logits = self.store.advance(ids, cancel)
            fill, tokens = self._one_hole(logits, len(ids), stop, chooser, cancel, clock)
            ids += tokens if self.text.decode(tokens) == fill.text else self.text.encode(fill.text)
            fills.append(fill)
        return tuple(fills)

    def _one_hole(
        self, logits: Tensor, position: int, stop: Stop, chooser: Chooser, cancel: CancelToken, clock: Clock
    ) -> tuple[Fill, list[int]]:
        """The fill and the ids that the store holds for it. Text is judged anew after each token."""
        tokens: list[int] = []
        logprobs: list[float] = []
        text = ""
        reason = StopReason.MAX_TOKENS
        while len(tokens) < stop.max_tokens:
            if cancel.cancelled:
                raise RequestCancelled
            token, logprob = chooser.choose(logits)
            clock.token()
            if token in self.text.ends:
                reason = StopReason.END_OF_HOLE
                break
            tokens.append(token)
            logprobs.append(logprob)
            text = self.text.decode(tokens)
            if (cut := text_stop(text, stop)) is not None:
                text, reason = text[: cut[0]], cut[1]
                break
            if position + len(tokens) >= self.context:
                reason = StopReason.CONTEXT_FULL
                break
            if len(tokens) < stop.max_tokens:
                logits = self.store.append(token)
        if stop.truncate_before is not None:
            text = truncate_before(text, stop.truncate_before)
        mean = sum(logprobs) / len(logprobs) if logprobs else 0.0
        return Fill(text, reason, len(tokens), mean), tokens
