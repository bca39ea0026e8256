"""Several typists at a time: their requests answered side by side, in the same passes, and one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from lacuna_inference.api import CancelToken, CompletionResult, Request
from lacuna_inference.decoding.answer import answer
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.engine.batch import Batch, Outcome
from lacuna_lab.bench.accelerations import AccelerationRow, Measurement, TimedAnswer, TypingLoad, figures, largest_gap
from lacuna_lab.bench.accelerations_models import Models
from lacuna_lab.bench.accelerations_steps import Group, Setup

TYPISTS = 8
Way = Callable[[Decoder, Sequence[Request]], list[TimedAnswer]]


def rows(models: Models, setup: Setup, works: Sequence[TypingLoad]) -> list[AccelerationRow]:
    """One after the other, and side by side, with the same `setup`; each work is one typist's, all keys are pressed at
    the same moment. Times are those of a moment, divided by its keys."""
    names = [f"{len(works)} typists, {way}" for way in ("one after the other", "side by side")]
    if not models.batches:
        reason = "caches of transformers have no pass in common"
        return [AccelerationRow(Group.CROWD, names[1], True, None, reason)]
    apart, together = measure(models.decoder(setup), models.decoder(setup), works)
    costs = (models.weight_bytes(setup.runner), models.prepared_s.get(setup.runner, 0.0))
    gap = largest_gap(models, setup, works, together, apart)
    return [
        AccelerationRow(Group.CROWD, names[0], True, figures(apart, apart, apart, works, costs)),
        AccelerationRow(Group.CROWD, names[1], True, figures(together, apart, apart, works, costs, gap)),
    ]


def measure(one: Decoder, other: Decoder, works: Sequence[TypingLoad]) -> tuple[Measurement, Measurement]:
    """What `one` answers one after the other and `other` side by side, in the order of `works`; they take turns."""
    ways: list[tuple[Decoder, Way]] = [(one, _one_by_one), (other, _side_by_side)]
    found: list[list[list[TimedAnswer]]] = [[[] for _ in works] for _ in ways]
    for turn in range(max(len(work.requests) for work in works)):
        typists = [number for number, work in enumerate(works) if turn < len(work.requests)]
        requests = [works[number].requests[turn] for number in typists]
        for which in (0, 1) if turn % 2 else (1, 0):
            decoder, way = ways[which]
            for number, answered in zip(typists, way(decoder, requests), strict=True):
                found[which][number].append(answered)
    apart, together = (
        Measurement([answered for typist in answers for answered in typist], decoder.caches.nbytes)
        for answers, (decoder, _) in zip(found, ways, strict=True)
    )
    return apart, together


def _one_by_one(decoder: Decoder, requests: Sequence[Request]) -> list[TimedAnswer]:
    started = time.perf_counter()
    found = [answer(decoder, "", request, CancelToken(), started) for request in requests]
    return _answers(found, time.perf_counter() - started)


def _side_by_side(decoder: Decoder, requests: Sequence[Request]) -> list[TimedAnswer]:
    started = time.perf_counter()
    batch = Batch(decoder, "", len(requests))
    jobs = [RequestState(request, CancelToken()) for request in requests]
    waiting, over = list(jobs), list[tuple[RequestState, Outcome]]()
    while waiting or batch:
        while waiting and batch.has_room:
            over += batch.start(waiting.pop(0))
        over += batch.advance()
    taken_s = time.perf_counter() - started
    outcomes = {id(job): outcome for job, outcome in over}
    return _answers([_answered(outcomes[id(job)]) for job in jobs], taken_s)


def _answered(outcome: Outcome) -> CompletionResult:
    if isinstance(outcome, CompletionResult):
        return outcome
    raise outcome


def _answers(found: Sequence[CompletionResult], taken_s: float) -> list[TimedAnswer]:
    return [
        TimedAnswer(
            taken_s / len(found),
            one.candidates[0].text,
            one.metrics.evaluated_tokens,
            one.metrics.forward_passes,
        )
        for one in found
    ]
