"""How an answer came about: the tokens that were chosen, others that were almost as likely, and where it could end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from lacuna_inference.api import StopReason
from lacuna_inference.decoding.hole import Hole
from lacuna_inference.decoding.sampler import Sampler

RUNNERS_UP = 3
"""Tokens beside the chosen one with which another answer may go on."""
_LINE_ENDS = frozenset({StopReason.NEWLINE, StopReason.END_OF_HOLE})


class Choice(NamedTuple):
    """A token, its log-probability in nats, and that of the suffix's first token in its place."""

    token: int
    logprob: float
    suffix_logprob: float = -math.inf


@dataclass(slots=True)
class Trace:
    """The choices of an answer. `suffix_token` is the first token of the text after the hole; `begun` how many choices
    were made before, in another answer."""

    suffix_token: int
    choices: list[Choice] = field(default_factory=list)
    begun: int = 0
    _others: list[list[Choice]] = field(default_factory=list)

    def note(self, sampler: Sampler, token: int, logprob: float) -> None:
        """Adds the last choice of `sampler`."""
        suffix_logprob = sampler.logprob(self.suffix_token)
        others = [other for other in sampler.likeliest(RUNNERS_UP + 1) if other[0] != token]
        self._others.append([Choice(*other, suffix_logprob) for other in others])
        self.choices.append(Choice(token, logprob, suffix_logprob))

    def joint(self, count: int | None = None) -> float:
        """The log-probability of the first `count` choices together, or of all, in nats."""
        return sum(choice.logprob for choice in self.choices[:count])

    def branches(self, hole: Hole) -> Iterator[Trace]:
        """The beginnings of other answers than that in `hole`, which this trace is of."""
        goes_on = hole.reason in _LINE_ENDS
        for number, others in enumerate(self._others, self.begun):
            if goes_on or hole.start_of(number) < len(hole.text):
                for other in others:
                    yield Trace(self.suffix_token, [*self.choices[:number], other], number + 1)


class Ending(NamedTuple):
    """An answer that ends after `length` code points of the text in `hole`; `logprob` is its own in nats, and where a
    line goes on behind it, that of the suffix's first token with it."""

    hole: Hole
    length: int
    logprob: float

    @property
    def text(self) -> str:
        return self.hole.text[: self.length]


def own_ending(hole: Hole, trace: Trace) -> Ending:
    """The end of `hole`, at a line's end."""
    return Ending(hole, len(hole.text), trace.joint())


def endings(hole: Hole, trace: Trace, may_end: Callable[[str, str], bool]) -> Iterator[Ending]:
    """The places in `hole` after which the suffix could go on in the same line.

    `may_end` says whether an answer may end between two parts of its text.
    """
    text, logprob, inside = hole.text, 0.0, -math.inf
    for number, choice in enumerate(trace.choices):
        start = hole.start_of(number)
        if 0 < start < len(text) and may_end(text[:start], text[start:]):
            yield Ending(hole, start, logprob + choice.suffix_logprob)
        if start >= len(text):  # the text was cut before this token
            yield Ending(hole, len(text), logprob + choice.suffix_logprob)
            return
        logprob += choice.logprob
        if hole.start_of(number + 1) > len(text):  # within it: its rest is that of the suffix
            inside = logprob
    yield Ending(hole, len(text), inside)
