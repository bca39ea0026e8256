"""The engine's queue: the newest request of a document wins, and work for later runs while nobody asks.

Knows nothing of models. Every request that was added gets exactly one outcome, through `settle`.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from lacuna_inference.api import CancelToken, CompletionResult, Request
from lacuna_inference.errors import LacunaError, RequestCancelled

QUIET_S = 0.25
"""Seconds without a request after which work for later may begin: while somebody types it would only warm the room."""

_REMEMBERED = 4096
"""Documents whose place in the line is remembered."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Job:
    """A request, and the future of the one who asked; `spare` is work that nobody waits for."""

    request: Request
    cancel: CancelToken
    is_prefetch: bool = False
    future: Future[CompletionResult] = field(default_factory=Future)
    queued: float = field(default_factory=time.perf_counter)
    turn: int = 0
    """Its document's place in the line: the smallest has waited for an answer longest."""


def resolve(job: Job, outcome: CompletionResult | LacunaError) -> None:
    """Gives `job` its one answer; a later one is dropped."""
    with suppress(InvalidStateError):  # answered before, or cancelled by the one who waits
        if isinstance(outcome, LacunaError):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)


class Scheduler:
    """Thread-safe; one thread takes, perhaps several at a time, any thread adds."""

    def __init__(self, quiet_s: float = QUIET_S) -> None:
        self._quiet_s = quiet_s
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._prefetch: deque[Request] = deque()
        self._running: list[Job] = []
        self._turns = count(1)
        self._turn_of: OrderedDict[str | None, int] = OrderedDict()
        """When each document came in line, with its first request and with each answer. The latest at the end."""
        self._closed = False

    def add(self, job: Job) -> None:
        """Queues `job`. Older ones of its key fail; spare work stops and is forgotten, being made for an older text."""
        with self._changed:
            if job.request.document_id is not None:
                self._replace_older(job.request.document_id)
            self._prefetch.clear()
            for running in self._running:
                if running.is_prefetch:
                    running.cancel.cancel()
            if _document(job) not in self._turn_of:
                self._give_turn(job)
            job.turn = self._turn_of[_document(job)]
            self._waiting.append(job)
            self._changed.notify()
        leave = self._withdrawal(job)
        job.cancel.on_cancel(leave)
        job.future.add_done_callback(leave)

    def enqueue_prefetch(self, request: Request) -> None:
        """Has `request` computed when nobody asks for anything, only so that it is cheap when it comes."""
        with self._changed:
            if not self._waiting:
                self._prefetch.append(request)

    def take(self, patience: float | None = None) -> Job | None:
        """The next job, which `done` must follow; waits for it. None after `close`, or after `patience` seconds.

        Spare work comes only while nothing else is running.
        """
        started = time.monotonic()
        with self._changed:
            while not self._closed:
                waited = time.monotonic() - started
                if (job := self._next(waited)) is not None:
                    self._running.append(job)
                    return job
                limits = [self._quiet_s if self._prefetch else None, patience]
                left = [limit - waited for limit in limits if limit is not None]
                if patience is not None and waited >= patience:
                    return None
                self._changed.wait(max(0.0, min(left)) if left else None)
        return None

    def done(self, job: Job) -> None:
        """A job that was taken is over."""
        with self._changed:
            if job not in self._running:  # it was failed with all others
                return
            self._running.remove(job)
            if not job.cancel.cancelled:
                self._give_turn(job)

    def fail_all(self, error: LacunaError) -> None:
        """Gives all that have no answer yet this outcome: those that wait, and those that were taken."""
        with self._changed:
            self._fail_waiting(error)
            while self._running:
                resolve(self._running.pop(), error)

    def close(self, error: LacunaError) -> None:
        """Stops the running jobs, fails the waiting ones, and ends `take`."""
        with self._changed:
            self._closed = True
            for running in self._running:
                running.cancel.cancel()
            self._fail_waiting(error)
            self._changed.notify()

    def wait(self) -> None:
        """Returns when a job waits, or after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)

    def _fail_waiting(self, error: LacunaError) -> None:
        self._prefetch.clear()
        while self._waiting:
            resolve(self._waiting.popleft(), error)

    def _withdrawal(self, job: Job) -> Callable[..., None]:
        """What takes `job` out of the line at once when nobody wants it any more, and its text out of memory.

        It holds the job weakly: whoever asked may keep the token and the future for long.
        """
        known = weakref.ref(job)

        def leave(*_: object) -> None:
            with self._changed:
                job = known()
                if job is None or job not in self._waiting:
                    return
                self._waiting.remove(job)
            resolve(job, RequestCancelled())

        return leave

    def _next(self, waited: float) -> Job | None:
        while self._waiting:
            job = min(self._waiting, key=self._turn)
            self._waiting.remove(job)
            if job.cancel.cancelled:
                resolve(job, RequestCancelled())
            elif job.future.set_running_or_notify_cancel():
                return job
        if self._prefetch and not self._running and waited >= self._quiet_s:
            return Job(self._prefetch.popleft(), CancelToken(), is_prefetch=True)
        return None

    def _turn(self, job: Job) -> tuple[int, int]:
        """Whoever has fewest requests running comes first; among equals the document that waits for an answer longest.

        A request so has the turn of the one that it takes the place of. In the order of their coming, with more typists
        than the model can serve, each would be replaced before its turn came, and none ever answered in time.
        """
        running = sum(_caller(running) == _caller(job) for running in self._running)
        return running, job.turn

    def _give_turn(self, job: Job) -> None:
        self._turn_of[_document(job)] = next(self._turns)
        self._turn_of.move_to_end(_document(job))
        if len(self._turn_of) > _REMEMBERED:
            self._turn_of.popitem(last=False)

    def _replace_older(self, key: str) -> None:
        """The newest request of a key wins; the older ones are cancelled, also one that is being computed."""
        for job in [j for j in self._waiting if j.request.document_id == key]:
            self._waiting.remove(job)
            resolve(job, RequestCancelled("A newer request took this one's place."))
        for running in self._running:
            if running.request.document_id == key:
                running.cancel.cancel()


def _caller(job: Job) -> str | None:
    return job.request.caller or job.request.document_id


def _document(job: Job) -> str | None:
    return job.request.document_id or job.request.caller
