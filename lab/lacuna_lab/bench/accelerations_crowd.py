"""Several users at once: their requests answered in one batch, and one after the other."""

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

USERS = 8
AnswerAll = Callable[[Decoder, Sequence[Request]], list[TimedAnswer]]


def rows(models: Models, setup: Setup, loads: Sequence[TypingLoad]) -> list[AccelerationRow]:
    """A row for sequential answers and one for batched ones, with the same `setup`.

    Each load is one user's; all users press their keys at the same moment. Times are those of a moment, divided by its
    number of keystrokes.
    """
    names = [f"{len(loads)} users, {order}" for order in ("sequential", "batched")]
    if not models.can_batch:
        reason = "the caches of transformers cannot share a pass"
        return [AccelerationRow(Group.CROWD, names[1], True, None, reason)]
    sequential, batched = measure(models.decoder(setup), models.decoder(setup), loads)
    costs = (models.weight_bytes(setup.runner), models.prepared_s.get(setup.runner, 0.0))
    gap = largest_gap(models, setup, loads, batched, sequential)
    return [
        AccelerationRow(Group.CROWD, names[0], True, figures(sequential, sequential, sequential, loads, costs)),
        AccelerationRow(Group.CROWD, names[1], True, figures(batched, sequential, sequential, loads, costs, gap)),
    ]


def measure(sequential: Decoder, batched: Decoder, loads: Sequence[TypingLoad]) -> tuple[Measurement, Measurement]:
    """The answers of both decoders, in the order of `loads`. The two take turns in going first."""
    contestants: list[tuple[Decoder, AnswerAll]] = [(sequential, _one_by_one), (batched, _in_a_batch)]
    answers: list[list[list[TimedAnswer]]] = [[[] for _ in loads] for _ in contestants]
    for turn in range(max(len(load.requests) for load in loads)):
        users = [user for user, load in enumerate(loads) if turn < len(load.requests)]
        requests = [loads[user].requests[turn] for user in users]
        for number in (0, 1) if turn % 2 else (1, 0):
            decoder, answer_all = contestants[number]
            for user, timed in zip(users, answer_all(decoder, requests), strict=True):
                answers[number][user].append(timed)
    first, second = (
        Measurement([timed for of_user in of_contestant for timed in of_user], decoder.caches.nbytes)
        for of_contestant, (decoder, _) in zip(answers, contestants, strict=True)
    )
    return first, second


def _one_by_one(decoder: Decoder, requests: Sequence[Request]) -> list[TimedAnswer]:
    started = time.perf_counter()
    results = [answer(decoder, "", request, CancelToken(), started) for request in requests]
    return _timed(results, time.perf_counter() - started)


def _in_a_batch(decoder: Decoder, requests: Sequence[Request]) -> list[TimedAnswer]:
    started = time.perf_counter()
    batch = Batch(decoder, "", len(requests))
    jobs = [RequestState(request, CancelToken()) for request in requests]
    waiting, finished = list(jobs), list[tuple[RequestState, Outcome]]()
    while waiting or batch:
        while waiting and batch.has_room:
            finished += batch.start(waiting.pop(0))
        finished += batch.advance()
    taken_s = time.perf_counter() - started
    outcomes = {id(job): outcome for job, outcome in finished}
    return _timed([_result(outcomes[id(job)]) for job in jobs], taken_s)


def _result(outcome: Outcome) -> CompletionResult:
    """The result; raises when the outcome is an error."""
    if isinstance(outcome, CompletionResult):
        return outcome
    raise outcome


def _timed(results: Sequence[CompletionResult], taken_s: float) -> list[TimedAnswer]:
    return [
        TimedAnswer(
            taken_s / len(results),
            result.candidates[0].text,
            result.metrics.evaluated_tokens,
            result.metrics.forward_passes,
        )
        for result in results
    ]
