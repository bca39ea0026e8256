"""Requests that are answered side by side: each pass of the model takes one step of every one of them.

They join and leave between passes. Knows nothing of threads; `engine` drives it.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from lacuna_inference.api import Completions
from lacuna_inference.decode.answer import answering
from lacuna_inference.decode.loop import Asked, Decoder
from lacuna_inference.decode.store import Forward, Step, Steps
from lacuna_inference.errors import EngineUnavailable, LacunaError, NotEnoughMemory, RequestCancelled
from lacuna_inference.jobs import Job

logger = logging.getLogger(__name__)

Outcome: TypeAlias = "Completions | LacunaError"
Over: TypeAlias = "list[tuple[Job, Outcome]]"


@dataclass(slots=True, eq=False)
class _Running:
    job: Job
    steps: Steps[Completions]
    step: Step


class Batch:
    """At most `most` requests at a time, fewer where their caches would not fit."""

    def __init__(self, decoder: Decoder, model: str, most: int) -> None:
        self._decoder, self._model, self._most = decoder, model, most
        self._running: list[_Running] = []

    def __len__(self) -> int:
        return len(self._running)

    @property
    def has_room(self) -> bool:
        return len(self) < self._most and self._decoder.stores.has_room_beside_busy()

    def start(self, job: Job) -> Over:
        """Takes `job` in; those that are over by now: older ones that were cancelled, and `job`, if it was easy."""
        over = self._without_cancelled()
        asked = Asked(job.cancel, lambda: max(1, len(self)))
        steps = answering(self._decoder, self._model, job.request, asked, job.queued)
        outcome = self._resumed(steps, lambda: next(steps))
        if isinstance(outcome, Step):
            self._running.append(_Running(job, steps, outcome))
            return over
        return [*over, (job, outcome)]

    def advance(self) -> Over:
        """One pass for all of them; those that are over."""
        over = self._without_cancelled()
        running = list(self._running)
        for one, logits in zip(running, self._passed([one.step for one in running]), strict=True):
            outcome = self._resumed(one.steps, _sent(one.steps, logits))
            if isinstance(outcome, Step):
                one.step = outcome
            else:
                self._running.remove(one)
                over.append((one.job, outcome))
        return over

    def give_up(self) -> list[Job]:
        """Ends all of them without an answer; their jobs."""
        running, self._running = self._running, []
        for one in running:
            one.steps.close()
        return [one.job for one in running]

    def _without_cancelled(self) -> Over:
        cancelled = [one for one in self._running if one.job.cancel.cancelled]
        self._running = [one for one in self._running if one not in cancelled]  # a cancel may come at any moment
        over: Over = []
        for one in cancelled:
            outcome = self._resumed(one.steps, _sent(one.steps, RequestCancelled()))
            over.append((one.job, outcome if not isinstance(outcome, Step) else RequestCancelled()))
        return over

    def _passed(self, asked: Sequence[Step]) -> list[Tensor | Exception]:
        """The logits of each step, or how it failed. What fails together is tried one by one: one may be to blame."""
        forward = self._decoder.stores.forward
        if len(asked) > 1:
            try:
                if (together := forward.together(asked)) is not None:
                    return list(together)
            except Exception as error:
                kind = type(error).__name__
                logger.warning("A pass for %d requests failed (%s); each goes on alone.", len(asked), kind)
                empty_device_cache()
        return [_alone(forward, step) for step in asked]

    def _resumed(self, steps: Steps[Completions], resume: Callable[[], Step]) -> Step | Outcome:
        """The next step, or how it ended. A failure concerns this request only."""
        try:
            return resume()
        except StopIteration as end:
            completions: Completions = end.value
            return completions
        except LacunaError as error:
            return error
        except Exception as error:
            steps.close()
            self._decoder.stores.clear()
            if _out_of_memory(error):
                empty_device_cache()
                remedy = "Shorten the context (--context) or choose a smaller model."
                return NotEnoughMemory("This request ran out of memory.", remedy)
            logger.exception("The engine met an unexpected error and goes on.")
            return EngineUnavailable("The engine met an unexpected error.", "Look into the log.")


def _sent(steps: Steps[Completions], logits: Tensor | Exception) -> Callable[[], Step]:
    if isinstance(logits, Exception):
        return lambda: steps.throw(logits)
    return lambda: steps.send(logits)


def _alone(forward: Forward, step: Step) -> Tensor | Exception:
    try:
        return forward.step(step.ids, step.slot, step.rows)
    except Exception as error:
        return error


def _out_of_memory(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def empty_device_cache() -> None:
    """Gives memory that no tensor has any more back to the device."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
