"""The decode loop: from a prompt's token ids to the text of its holes, one token at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from lacuna_inference.api import CancelToken, Fill, Sampling, Stop, StopReason
from lacuna_inference.decode.hole import Hole
from lacuna_inference.decode.local import Local
from lacuna_inference.decode.sampling import Chooser
from lacuna_inference.decode.store import PrefixStore
from lacuna_inference.errors import RequestCancelled
from lacuna_inference.prompt.plan import Plan
from lacuna_inference.prompt.tokens import TokenText

Choice = Callable[[Tensor, Hole], tuple[int, float]]


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

    def fill(
        self, plan: Plan, parts: Sequence[str], stop: Stop, sampling: Sampling, cancel: CancelToken, clock: Clock
    ) -> tuple[Fill, ...]:
        """A fill for every hole of `plan`, in order; `parts` is the text that it was made of.

        Raises RequestCancelled between two tokens.
        """
        choose = self._choice(plan, parts, sampling)
        ids = list(plan.ids)
        fills = []
        for number in range(plan.holes):
            if number:
                ids += plan.between[number - 1]
            hole = Hole("" if number else plan.begun, stop, self.text)
            self._write(hole, ids, choose, cancel, clock)
            ids += hole.held()
            fills.append(hole.fill())
        return tuple(fills)

    def _write(self, hole: Hole, ids: Sequence[int], choose: Choice, cancel: CancelToken, clock: Clock) -> None:
        """Writes `hole` behind the prompt `ids`."""
        logits = self.store.advance(ids, cancel)
        while hole.reason is None:
            if cancel.cancelled:
                raise RequestCancelled
            token, logprob = choose(logits, hole)
            hole.take(token, logprob)
            if hole.new_tokens or hole.reason:
                clock.token()
            if hole.reason is None and len(ids) + len(hole.tokens) >= self.context:
                hole.reason = StopReason.CONTEXT_FULL
            if hole.reason is None:
                logits = self.store.append(token)

    def _choice(self, plan: Plan, parts: Sequence[str], sampling: Sampling) -> Choice:
        chooser = Chooser(sampling, self.text.banned, self.text.size)
        if not self.text.family.local:
            return lambda logits, hole: chooser.choose(logits, hole.allowed())
        local = Local(parts, plan.begun, self.text)
        return lambda logits, hole: chooser.choose(logits, hole.allowed(), lambda p: local.mix(p, hole.tokens))
