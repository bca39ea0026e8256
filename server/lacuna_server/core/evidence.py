"""What speaks for a beginning of a suggestion, and against it: numbers that its chance is computed from. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lacuna_inference.api import Fill, Source, StopReason, TokenLogprob
from lacuna_server.core.cuts import Cut, Part
from lacuna_server.core.snapshot import Snapshot

NAMES = ("joint", "length", "call", "line", "lines", "line_start", "followed", "ended", "candidate")
"""The columns of `evidence`, each also the name of a coefficient.

`joint` is the probability of all tokens, as log odds; `length` the logarithm of the characters. `call`, `line` and
`lines` say what is cut, otherwise it is a word. `line_start`: nothing stands before the cursor; `followed`: something
stands after it. `ended`: it is all that the model wrote, and no limit stopped it. `candidate`: it is from elsewhere in
the file. Nothing else was worth a coefficient: the probabilities know of numbers and comments.
"""
LIMITS = frozenset({StopReason.MAX_TOKENS, StopReason.MAX_LINES, StopReason.CONTEXT_FULL, StopReason.DEADLINE})
"""Stop reasons of answers that would have continued, perhaps in a loop."""
_MOST = 7.0
"""The largest log odds: what is surer than 99.9 % is all the same."""


def evidence(fill: Fill, text: str, cuts: Sequence[Cut], snapshot: Snapshot) -> list[tuple[float, ...]]:
    """For each of `cuts` of the suggestion `text`, with which `fill` begins, the numbers of `NAMES`."""
    line_start, followed = not snapshot.line_before.strip(), bool(snapshot.line_after.strip())
    ended = fill.reason not in LIMITS and text == fill.text.rstrip()
    rows = []
    for cut in cuts:
        shown = text[: cut.end].strip()
        row = (
            log_odds(joint(fill.token_logprobs, cut.end)),
            math.log(len(shown)),
            cut.part is Part.CALL,
            cut.part is Part.LINE,
            cut.part is Part.LINES,
            line_start,
            followed,
            ended and cut is cuts[-1],
            fill.source is Source.CANDIDATE,
        )
        rows.append(tuple(map(float, row)))
    return rows


def joint(tokens: Sequence[TokenLogprob], end: int) -> float:
    """The log-probability of the tokens that begin before `end`, in nats. The last may go beyond it."""
    total, start = 0.0, 0
    for token in tokens:
        if start >= end:
            break
        total += token.logprob
        start += len(token.text)
    return total


def log_odds(logprob: float) -> float:
    """The log odds of an event with this log-probability in nats, within `_MOST`."""
    if logprob >= -math.exp(-_MOST):
        return _MOST
    return max(-_MOST, logprob - math.log(-math.expm1(logprob)))
