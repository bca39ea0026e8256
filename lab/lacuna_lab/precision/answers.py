"""What is suggested: the same holes, filled greedily in each dtype, and how the answers differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import median

from lacuna_inference.api import CancelToken, Request, StopReason
from lacuna_inference.cache.pool import PrefixCachePool
from lacuna_inference.decoding.anchors import Anchors
from lacuna_inference.decoding.answer import answer
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.suggestion_reuse import SuggestionReuse
from lacuna_inference.errors import NotFinite
from lacuna_lab.evaluation import run
from lacuna_lab.evaluation.holes import EvaluationHole
from lacuna_lab.precision import kl_statistics, questions
from lacuna_lab.precision.kl_statistics import Flips, Measure
from lacuna_lab.precision.study_dir import StudyDir

_SAVED_EVERY = 10
"""Answers after which they are written to disk."""


@dataclass(frozen=True, slots=True)
class Suggestions:
    """The answers of one dtype beside the reference's.

    `identical` character by character. `first_difference`: median code points that were the same before the first that
    was not, of answers that differ. `exact`: shares of holes that were filled as the file has it.
    """

    holes: int
    identical: Measure
    first_difference: float | None
    exact_reference: float
    exact_test: float
    flips: Flips


def ask(
    decoder: Decoder,
    dtype: str,
    holes: Sequence[EvaluationHole],
    max_tokens: int,
    place: StudyDir,
    tell: Callable[[int], None],
) -> list[run.HoleAnswer]:
    """The answers to all holes, those that `place` has and the others; each as if nothing was asked before."""
    name = f"answers-{dtype}"
    found = [run.HoleAnswer(**kept) for kept in place.data(name) or []]
    for number, hole in enumerate(holes[len(found) :], len(found) + 1):
        fresh = replace(
            decoder, caches=PrefixCachePool(decoder.caches.forward), anchors=Anchors(), reuse=SuggestionReuse()
        )
        request = questions.request(hole, max_tokens)
        found.append(_answered(fresh, request))
        if number % _SAVED_EVERY == 0 or number == len(holes):
            place.put_data(name, [{"text": one.text, "ended": one.ended} for one in found])
        tell(number)
    return found


def _answered(decoder: Decoder, request: Request) -> run.HoleAnswer:
    """The answer; an empty one where the model computes numbers that are not finite, as some do in a narrow dtype."""
    try:
        fill = answer(decoder, "", request, CancelToken(), time.perf_counter()).candidates[0].fills[0]
    except NotFinite:
        return run.HoleAnswer("", False)
    return run.HoleAnswer(fill.text, fill.reason is StopReason.END_OF_HOLE)


def compare(
    holes: Sequence[EvaluationHole], reference: Sequence[run.HoleAnswer], test: Sequence[run.HoleAnswer]
) -> Suggestions:
    """The figures of answers to the same holes."""
    pairs = [(one.text, other.text) for one, other in zip(reference, test, strict=True)]
    same = [one == other for one, other in pairs]
    was = [run.score(hole, found).exact for hole, found in zip(holes, reference, strict=True)]
    now = [run.score(hole, found).exact for hole, found in zip(holes, test, strict=True)]
    count = len(holes)
    identical = _share(sum(same), count)
    parted = [_same_until(one, other) for one, other in pairs if one != other]
    return Suggestions(
        holes=count,
        identical=identical,
        first_difference=median(parted) if parted else None,
        exact_reference=sum(was) / count,
        exact_test=sum(now) / count,
        flips=kl_statistics.mcnemar_flips(was, now),
    )


def _share(those: int, count: int) -> Measure:
    """A share of independent holes; its error after Agresti and Coull (1998), because the plain one of 100 % is 0."""
    middle = (those + 2) / (count + 4)
    error = sqrt(middle * (1 - middle) / (count + 4))
    return Measure(those / count, error, error)


def _same_until(one: str, other: str) -> int:
    """Code points before the first difference."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
