"""Requests that are answered side by side: each pass of the model takes one step of every one of them.

They join and leave between passes. Knows nothing of threads; `engine` drives it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from lacuna_inference.api import CompletionResult
from lacuna_inference.decoding.answer import answer_steps
from lacuna_inference.decoding.loop import Decoder
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
from lacuna_inference.forward import Forward, Step, Steps

logger = logging.getLogger(__name__)

Outcome: TypeAlias = "CompletionResult | LacunaError"
Finished: TypeAlias = "list[tuple[RequestState, Outcome]]"
_NOT_BEGUN = Step((), None)
_TEST = "def f():\n"
"""What a model is tested with that may have failed."""


@dataclass(slots=True, eq=False)
class _Running:
    state: RequestState
    steps: Steps[CompletionResult]
    step: Step = _NOT_BEGUN


class Batch:
    """At most `most` requests at a time, fewer where their caches would not fit.

    Whatever `start` and `advance` raise, no job is lost: `give_up` has those that are over, and those that are not.
    """

    def __init__(self, decoder: Decoder, model: str, most: int) -> None:
        self._decoder, self._model, self._max_requests = decoder, model, most
        self._health = Health(decoder.caches.forward, [*decoder.tokenizer.begin, *decoder.tokenizer.encode(_TEST)])
        self._running: list[_Running] = []
        self._finished: Finished = []

    def __len__(self) -> int:
        return len(self._running)

    @property
    def lost(self) -> str:
        """Empty while the model works, else what happened to it: then nothing but loading it again helps."""
        return self._health.lost

    @property
    def has_room(self) -> bool:
        return len(self) < self._max_requests and self._decoder.caches.has_room_beside_busy()

    def start(self, state: RequestState) -> Finished:
        """Takes `state` in; those that are over by now: older ones that were cancelled, and `state`, if it was easy."""
        self._drop_cancelled()
        one = _Running(state, self._answering(state))
        self._running.append(one)
        self._resume(one, lambda: next(one.steps))
        return self._drain_finished()

    def advance(self) -> Finished:
        """One pass for all of them; those that are over."""
        self._drop_cancelled()
        running = list(self._running)
        for one, logits in zip(running, self._step_together([one.step for one in running]), strict=True):
            if self.lost:
                break
            self._resume(one, _sending(one.steps, logits))
        return self._drain_finished()

    def abort(self, error: LacunaError) -> Finished:
        """Ends all of them with `error`; the jobs that have no answer yet, and those that were over before."""
        running, self._running = self._running, []
        for one in running:
            with suppress(Exception):
                one.steps.close()
            self._finished.append((one.state, error))
        return self._drain_finished()

    def _answering(self, state: RequestState) -> Steps[CompletionResult]:
        state.concurrency = lambda: max(1, len(self))
        return (yield from answer_steps(self._decoder, self._model, state))

    def _drain_finished(self) -> Finished:
        over, self._finished = self._finished, []
        return over

    def _drop_cancelled(self) -> None:
        for one in [one for one in self._running if one.state.cancel.cancelled]:
            outcome = self._outcome(_sending(one.steps, RequestCancelled()))
            self._end(one, RequestCancelled() if isinstance(outcome, Step) else outcome)

    def _step_together(self, asked: Sequence[Step]) -> list[Tensor | Exception]:
        """The logits of each step, or how it failed. What fails together is tried one by one: one may be to blame."""
        forward = self._decoder.caches.forward
        if len(asked) > 1:
            try:
                if (together := forward.step_batch(asked)) is not None:
                    return list(together)
            except Exception as error:
                kind = type(error).__name__
                logger.warning("A pass for %d requests failed (%s); each goes on alone.", len(asked), kind)
                empty_device_cache()
        return [_alone(forward, step) for step in asked]

    def _resume(self, one: _Running, resume: Callable[[], Step]) -> None:
        outcome = self._outcome(resume)
        if isinstance(outcome, Step):
            one.step = outcome
        else:
            self._end(one, outcome)

    def _end(self, one: _Running, outcome: Outcome) -> None:
        self._finished.append((one.state, outcome))
        self._running.remove(one)

    def _outcome(self, resume: Callable[[], Step]) -> Step | Outcome:
        """The next step, or how it ended. A failure concerns this request only."""
        try:
            return resume()
        except StopIteration as end:
            completions: CompletionResult = end.value
            if completions.metrics.forward_passes:  # others say nothing of the model
                self._health.answered()
            return completions
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
        logger.exception("The engine met an unexpected error and goes on.")
        self._health.failed(error)
        return unexpected()


def unexpected() -> EngineUnavailable:
    """What the caller hears of an error that is ours."""
    return EngineUnavailable("The engine met an unexpected error.", "Look into the log.")


def _sending(steps: Steps[CompletionResult], logits: Tensor | Exception) -> Callable[[], Step]:
    if isinstance(logits, Exception):
        return lambda: steps.throw(logits)
    return lambda: steps.send(logits)


def _alone(forward: Forward, step: Step) -> Tensor | Exception:
    try:
        return forward.step(step.ids, step.kv_cache, step.n_logits)
    except Exception as error:
        return error
