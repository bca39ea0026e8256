"""The parts of the comparison: each asks its questions and makes figures of the replies."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from lacuna_lab.bench.model.figures import Better, Figure, Unit
from lacuna_lab.bench.model.kept_answers import with_kept_answers
from lacuna_lab.bench.model.questions import Reply, TypedKey
from lacuna_lab.evaluation.problems import Problem
from lacuna_lab.quantiles import quantile

LACUNA, PEER = "Lacuna", "llama.cpp"
"""Names of the contestants. The replies of a part are kept by name; the peer's may be missing."""
Replies = Mapping[str, Sequence[Reply]]


class Part(StrEnum):
    """What is measured; the order is that of the table."""

    KEYS = "keys"
    FIRST = "first"
    DECODE = "decode"
    HOLES = "holes"
    PROMPT = "prompt"
    MEMORY = "memory"
    START = "start"
    PROBLEMS = "problems"


def typed_keys(keys: Sequence[TypedKey], replies: Replies) -> list[Figure]:
    """Times of a key, tokens that it cost, and how many answers were the rest of the line."""
    part = f"{len(keys)} typed keys"

    def figure(name: str, unit: Unit, of_replies: Callable[[Sequence[Reply]], float]) -> Figure:
        return _figure(part, name, unit, replies, of_replies)

    kept = {**replies, **({PEER: with_kept_answers(keys, replies[PEER])} if PEER in replies else {})}
    served = _figure(part, "mean, where llama.vim shows what it keeps", Unit.SECONDS, kept, _mean_s)
    return [
        figure("mean", Unit.SECONDS, _mean_s),
        *(
            [figure("mean after the first key", Unit.SECONDS, lambda found: _mean_s(found[1:]))]
            if len(keys) > 1
            else []
        ),
        figure("p50", Unit.SECONDS, lambda found: percentile(found, 0.5)),
        figure("p95", Unit.SECONDS, lambda found: percentile(found, 0.95)),
        *([served] if PEER in replies else []),
        figure("prompt tokens read a key", Unit.TOKENS, lambda found: statistics.fmean(r.read for r in found)),
        figure("tokens evaluated a key", Unit.TOKENS, lambda found: statistics.fmean(r.evaluated for r in found)),
        _right(part, "rest of the line exact", keys, replies),
        *([_right(part, "exact, where llama.vim shows what it keeps", keys, kept)] if PEER in replies else []),
    ]


def first_answers(replies: Replies) -> list[Figure]:
    """Time to an answer whose prompt must be read whole."""
    first = next(iter(replies.values()))
    part = f"first answer, cold, {len(first)} places"
    return [
        _figure(part, "median", Unit.SECONDS, replies, lambda found: percentile(found, 0.5)),
        _figure(
            part, "prompt tokens", Unit.TOKENS, replies, lambda found: statistics.fmean(r.read for r in found), None
        ),
    ]


def decoding(name: str, replies: Replies) -> list[Figure]:
    """Tokens a second after the first of each answer, over all answers."""
    return [_figure("decoding", name, Unit.RATE, replies, decoded_per_s, Better.MORE)]


def prompts(tokens: int, replies: Replies) -> list[Figure]:
    """Tokens a second of prompts that are read whole."""
    return [_figure("prompt", f"{tokens} tokens", Unit.RATE, replies, read_per_s, Better.MORE)]


def problems(found: Sequence[Problem], replies: Replies) -> list[Figure]:
    """Exact lines, and the time of all answers together."""
    keys = [(problem.truth, problem) for problem in found]
    part = f"{len(keys)} problems"

    def exact(of_replies: Sequence[Reply]) -> float:
        return sum(is_line(r.text, truth) for r, (truth, _) in zip(of_replies, keys, strict=True))

    right = {name: exact(of_replies) for name, of_replies in replies.items()}
    return [
        Figure(part, "exact", Unit.COUNT, right.get(LACUNA), right.get(PEER), Better.MORE, len(keys)),
        _figure(part, "all answers", Unit.SECONDS, replies, lambda of_replies: sum(r.taken_s for r in of_replies)),
    ]


def is_line(text: str, truth: str) -> bool:
    """Whether the first line of `text` is `truth`; blanks at its end do not count."""
    return text.split("\n")[0].rstrip() == truth.rstrip()


def percentile(replies: Sequence[Reply], share: float) -> float:
    """The seconds within which this share was answered."""
    return quantile([reply.taken_s for reply in replies], share)


def decoded_per_s(replies: Sequence[Reply]) -> float:
    """Tokens after the first of each answer, a second; 0 if there are none."""
    seconds = sum(reply.decode_s for reply in replies)
    return sum(reply.decoded for reply in replies) / seconds if seconds else 0.0


def read_per_s(replies: Sequence[Reply]) -> float:
    """Tokens of prompts, a second."""
    seconds = sum(reply.read_s for reply in replies)
    return sum(reply.read for reply in replies) / seconds if seconds else 0.0


def _mean_s(replies: Sequence[Reply]) -> float:
    return statistics.fmean(reply.taken_s for reply in replies)


def _right(part: str, name: str, keys: Sequence[TypedKey], replies: Replies) -> Figure:
    right = {
        who: float(sum(is_line(reply.text, key.truth) for key, reply in zip(keys, found, strict=True)))
        for who, found in replies.items()
    }
    return Figure(part, name, Unit.COUNT, right.get(LACUNA), right.get(PEER), Better.MORE, len(keys))


def _figure(
    part: str,
    name: str,
    unit: Unit,
    replies: Replies,
    of_replies: Callable[[Sequence[Reply]], float],
    better: Better | None = Better.LESS,
) -> Figure:
    values = {who: of_replies(found) for who, found in replies.items()}
    return Figure(part, name, unit, values.get(LACUNA), values.get(PEER), better)
