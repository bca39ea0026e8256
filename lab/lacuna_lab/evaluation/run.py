"""Fills every hole with an answerer and scores the answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lacuna_inference.api import Engine, Request, Stop, StopReason
from lacuna_inference.text import parses
from lacuna_lab.evaluation.copier import copy
from lacuna_lab.evaluation.files import SourceFile
from lacuna_lab.evaluation.holes import SINGLE_LINE, EvaluationHole, HoleKind, cut
from lacuna_lab.evaluation.metrics import edit_similarity

MAX_LINES = 8
ENDED = frozenset({StopReason.END_OF_HOLE, StopReason.OUTSIDE})
"""Why an answer ends that has no limit but its own: the model closed the hole, or left it."""


@dataclass(frozen=True, slots=True)
class Score:
    """How one hole was filled.

    `exact` compares without trailing whitespace, `exact_stripped` also without leading whitespace. `end_found`: the
    answer ended without running past the true end by more than a line. `early`: it is the beginning of the right text
    and ends too soon. `late`: it is the right text and continues after it. All three are None if no end is expected.
    """

    kind: HoleKind
    file: str
    exact: bool
    exact_stripped: bool
    similarity: float
    parses: bool
    end_found: bool | None
    early: bool | None
    late: bool | None


@dataclass(frozen=True, slots=True)
class HoleAnswer:
    """The unmodified answer, not cut at the end of the line, and whether it ended rather than hit a limit."""

    text: str
    ended: bool = True


Answerer = Callable[[EvaluationHole], HoleAnswer]


def holes(files: Sequence[SourceFile], per_file: int, seed: int) -> list[EvaluationHole]:
    """`per_file` holes of each kind from each file."""
    rng = random.Random(seed)
    found = (cut(file, kind, rng) for file in files for kind in HoleKind for _ in range(per_file))
    return [hole for hole in found if hole is not None]


def scores(holes: Sequence[EvaluationHole], answerer: Answerer) -> Iterator[Score]:
    """Yields the score of each hole as it is answered."""
    for hole in holes:
        yield score(hole, answerer(hole))


def score(hole: EvaluationHole, answer: HoleAnswer) -> Score:
    """The score of `answer`; a single-line hole takes its first line, as the editor would."""
    single = hole.kind in SINGLE_LINE or hole.kind is HoleKind.NEXT_LINE
    shown = answer.text.split("\n")[0] if single else answer.text
    text, truth = answer.text.rstrip(), hole.truth.rstrip()
    excess_lines = text.count("\n") - truth.count("\n")
    ends = hole.kind is not HoleKind.NEXT_LINE
    return Score(
        kind=hole.kind,
        file=hole.file.path or hole.file.group + "/" + hole.file.name,
        exact=shown.rstrip() == truth,
        exact_stripped=shown.strip() == hole.truth.strip(),
        similarity=edit_similarity(shown.rstrip(), truth),
        parses=parses(hole.prefix + shown + hole.suffix),
        end_found=answer.ended and excess_lines <= 1 if ends else None,
        early=answer.ended and text != truth and truth.startswith(text) if ends else None,
        late=text.startswith(truth) and (text != truth or not answer.ended) if ends else None,
    )


def by_engine(engine: Engine, max_tokens: int) -> Answerer:
    """Answers greedily with a warm engine, which decides where an answer ends."""

    def answer(hole: EvaluationHole) -> HoleAnswer:
        left_to_right = hole.kind is HoleKind.NEXT_LINE
        stop = Stop(max_tokens, single_line=left_to_right, max_lines=None if left_to_right else MAX_LINES + 2)
        parts = (hole.prefix,) if left_to_right else (hole.prefix, hole.suffix)
        fill = engine.submit(Request(parts, hole.file.name, stop)).result().candidates[0].fills[0]
        return HoleAnswer(fill.text, fill.reason in ENDED)

    return answer


def by_copier(hole: EvaluationHole) -> HoleAnswer:
    """Answers with the n-gram copier over the open file."""
    suffix = "" if hole.kind is HoleKind.NEXT_LINE else hole.suffix
    single = hole.kind in SINGLE_LINE or hole.kind is HoleKind.NEXT_LINE
    return HoleAnswer(copy(hole.prefix, suffix, lines=1 if single else 3))
