"""Continuous batching: each forward pass takes one step of every running request.

Requests join and leave between passes. Knows nothing of threads; `engine` drives it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from lacuna_inference.api import CompletionResult
from lacuna_inference.decoding.answer import answer_steps
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.reading import reading_steps
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.engine.health import Health, empty_device_cache
from lacuna_inference.errors import (
    EngineUnavailable,
    LacunaError,
    NotEnoughMemory,
    NotFinite,
    RequestCancelled,
    out_of_memory,
)
from lacuna_inference.forward import NO_LOGITS, PAUSE, Forward, Step, Steps

logger = logging.getLogger(__name__)

Outcome: TypeAlias = "CompletionResult | LacunaError"
Finished: TypeAlias = "list[tuple[RequestState, Outcome]]"
_TEST = "def f():\n"
"""The text of the health check."""


@dataclass(slots=True, eq=False)
class _Running:
    state: RequestState
    steps: Steps[CompletionResult]
    step: Step = PAUSE


class Batch:
    """Up to `max_requests` running requests, fewer if their caches do not fit.

    If `start` or `advance` raises, no request is lost: `abort` returns all that have not been returned yet.
    """

    def __init__(self, decoder: Decoder, model: str, max_requests: int) -> None:
        self._decoder, self._model, self._max_requests = decoder, model, max_requests
        self._health = Health(decoder.caches.forward, [*decoder.tokenizer.begin, *decoder.tokenizer.encode(_TEST)])
        self._running: list[_Running] = []
        self._finished: Finished = []

    def __len__(self) -> int:
        return len(self._running)

    @property
    def failure(self) -> str:
        """Empty while the model works, otherwise what happened to it; then it must be loaded again."""
        return self._health.failure

    @property
    def has_room(self) -> bool:
        """Whether another request may start."""
        return len(self) < self._max_requests and self._decoder.caches.has_room_beside_busy()

    def start(self, state: RequestState) -> Finished:
        """Starts a request; returns the finished ones: cancelled ones, and this one if it needs no forward pass."""
        self._drop_cancelled()
        running = _Running(state, self._answer(state))
        self._running.append(running)
        self._resume(running, lambda: next(running.steps))
        return self._drain_finished()

    def advance(self) -> Finished:
        """Runs one pass for all requests; returns the finished ones."""
        self._drop_cancelled()
        batch = list(self._running)
        started = time.perf_counter()
        of_steps = self._step_batch([running.step for running in batch])
        if len(batch) == 1 and batch[0].step.ids and not isinstance(of_steps[0], Exception):
            self._decoder.speed.record(len(batch[0].step.ids), time.perf_counter() - started)
        for running, logits in zip(batch, of_steps, strict=True):
            if self.failure:
                break
            self._resume(running, _sending(running.steps, logits))
        return self._drain_finished()

    def abort(self, error: LacunaError) -> Finished:
        """Ends all running requests with `error`; returns them and those that finished before."""
        aborted, self._running = self._running, []
        for running in aborted:
            with suppress(Exception):
                running.steps.close()
            self._finished.append((running.state, error))
        return self._drain_finished()

    def _answer(self, state: RequestState) -> Steps[CompletionResult]:
        state.concurrency = lambda: max(1, len(self))
        steps = reading_steps if state.reads_ahead else answer_steps
        return (yield from steps(self._decoder, self._model, state))

    def _drain_finished(self) -> Finished:
        finished, self._finished = self._finished, []
        return finished

    def _drop_cancelled(self) -> None:
        for running in [running for running in self._running if running.state.cancel.cancelled]:
            outcome = self._outcome(_sending(running.steps, RequestCancelled()))
            self._end(running, RequestCancelled() if isinstance(outcome, Step) else outcome)

    def _step_batch(self, steps: Sequence[Step]) -> list[Tensor | Exception]:
        """The logits of each step, or its error; those without tokens cost nothing."""
        logits = iter(self._passed([step for step in steps if step.ids]))
        return [next(logits) if step.ids else NO_LOGITS for step in steps]

    def _passed(self, steps: Sequence[Step]) -> list[Tensor | Exception]:
        """What a pass gives for each step. A failed batch is retried one by one: one step may be the cause."""
        forward = self._decoder.caches.forward
        if len(steps) > 1:
            try:
                if (logits := forward.step_batch(steps)) is not None:
                    return list(logits)
            except Exception as error:
                kind = type(error).__name__
                logger.warning("A pass for %d requests failed (%s); each continues separately.", len(steps), kind)
                empty_device_cache()
        return [_single_step(forward, step) for step in steps]

    def _resume(self, running: _Running, resume: Callable[[], Step]) -> None:
        outcome = self._outcome(resume)
        if isinstance(outcome, Step):
            running.step = outcome
        else:
            self._end(running, outcome)

    def _end(self, running: _Running, outcome: Outcome) -> None:
        self._finished.append((running.state, outcome))
        self._running.remove(running)

    def _outcome(self, resume: Callable[[], Step]) -> Step | Outcome:
        """The next step of a request, or its outcome. A failure affects this request only."""
        try:
            return resume()
        except StopIteration as end:
            result: CompletionResult = end.value
            if result.metrics.forward_passes:  # without one it says nothing about the model
                self._health.answered()
            return result
        except NotFinite as error:
            self._health.failed(error)
            return error
        except LacunaError as error:
            return error
        except Exception as error:
            return self._unexpected(error)

    def _unexpected(self, error: Exception) -> LacunaError:
        if out_of_memory(error):
            self._decoder.caches.clear()
            empty_device_cache()
            remedy = "Shorten the context (--context) or choose a smaller model."
            return NotEnoughMemory("This request ran out of memory.", remedy)
        logger.exception("A request failed with an unexpected error; the engine continues.")
        self._health.failed(error)
        return unexpected()


def unexpected() -> EngineUnavailable:
    """What a caller gets for an internal error."""
    return EngineUnavailable("The engine met an unexpected error.", "Look into the log.")


def _sending(steps: Steps[CompletionResult], logits: Tensor | Exception) -> Callable[[], Step]:
    if isinstance(logits, Exception):
        return lambda: steps.throw(logits)
    return lambda: steps.send(logits)


def _single_step(forward: Forward, step: Step) -> Tensor | Exception:
    try:
        return forward.step(step.ids, step.kv_cache, step.n_logits)
    except Exception as error:
        return error
