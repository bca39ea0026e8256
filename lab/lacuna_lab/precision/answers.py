"""Suggestions: the same holes, filled greedily in each dtype, and how the answers differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import median

from lacuna_inference.api import CancelToken, Request
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

_SAVE_INTERVAL = 10
"""Number of answers after which they are written to disk."""


@dataclass(frozen=True, slots=True)
class SuggestionComparison:
    """The answers of one dtype compared with the reference's.

    `identical`: the share of equal texts. `first_difference`: the median length in code points of the common beginning
    of answers that differ. `exact_*`: the share of holes that were filled with the original text.
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
    study_dir: StudyDir,
    on_progress: Callable[[int], None],
) -> list[run.HoleAnswer]:
    """The answers to all holes, from `study_dir` or computed with empty caches and saved there.

    `on_progress` gets the number of answers so far.
    """
    name = f"answers-{dtype}"
    answers = [run.HoleAnswer(**saved) for saved in study_dir.data(name) or []]
    for number, hole in enumerate(holes[len(answers) :], len(answers) + 1):
        fresh = replace(
            decoder, caches=PrefixCachePool(decoder.caches.forward), anchors=Anchors(), reuse=SuggestionReuse()
        )
        request = questions.request(hole, max_tokens)
        answers.append(_answer(fresh, request))
        if number % _SAVE_INTERVAL == 0 or number == len(holes):
            study_dir.save_data(name, [{"text": one.text, "ended": one.ended} for one in answers])
        on_progress(number)
    return answers


def _answer(decoder: Decoder, request: Request) -> run.HoleAnswer:
    """The answer; an empty one if logits are not finite, which some models compute in a narrow dtype."""
    try:
        fill = answer(decoder, "", request, CancelToken(), time.perf_counter()).candidates[0].fills[0]
    except NotFinite:
        return run.HoleAnswer("", False)
    return run.HoleAnswer(fill.text, fill.reason in run.ENDED)


def compare(
    holes: Sequence[EvaluationHole], reference: Sequence[run.HoleAnswer], test: Sequence[run.HoleAnswer]
) -> SuggestionComparison:
    """Compares the answers to the same holes."""
    pairs = [(one.text, other.text) for one, other in zip(reference, test, strict=True)]
    same = [one == other for one, other in pairs]
    reference_exact = [run.score(hole, answer).exact for hole, answer in zip(holes, reference, strict=True)]
    test_exact = [run.score(hole, answer).exact for hole, answer in zip(holes, test, strict=True)]
    count = len(holes)
    identical = _share(sum(same), count)
    common = [_common_length(one, other) for one, other in pairs if one != other]
    return SuggestionComparison(
        holes=count,
        identical=identical,
        first_difference=median(common) if common else None,
        exact_reference=sum(reference_exact) / count,
        exact_test=sum(test_exact) / count,
        flips=kl_statistics.mcnemar_flips(reference_exact, test_exact),
    )


def _share(hits: int, count: int) -> Measure:
    """A share of independent holes, its error after Agresti and Coull (1998): the plain error of 100 % would be 0."""
    middle = (hits + 2) / (count + 4)
    error = sqrt(middle * (1 - middle) / (count + 4))
    return Measure(hits / count, error, error)


def _common_length(one: str, other: str) -> int:
    """Code points before the first difference."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
