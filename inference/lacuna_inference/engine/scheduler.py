"""The engine's queue: the newest request of a document wins, and prefetching fills idle time.

Knows nothing of models. Every request that was added gets exactly one outcome, through `resolve`.
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
from typing import TypeAlias

from lacuna_inference.api import CancelToken, CompletionResult, Request
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.errors import LacunaError, RequestCancelled

QUIET_S = 0.25
"""Seconds without a request before prefetching starts: while the user types, its results would be discarded."""

_ReadingKey: TypeAlias = tuple[str, bool]
"""A document's id, and whether its prompt is read beside the one that its requests show."""
MAX_READINGS = 2
"""Prompts of either kind that wait to be read ahead: of many that an editor opens, the last are probably in view."""
_REMEMBERED = 4096
"""Documents whose turn is remembered."""


def resolve(state: RequestState, outcome: CompletionResult | LacunaError) -> None:
    """Gives a request its one answer; later ones are dropped."""
    with suppress(InvalidStateError):  # answered before, or cancelled by the caller
        if isinstance(outcome, LacunaError):
            state.future.set_exception(outcome)
        else:
            state.future.set_result(outcome)


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """What is to be read ahead of a document; see `api.Engine.read_ahead` for the future."""

    request: Request
    beside: bool = False
    future: Future[bool] = field(default_factory=Future)


class Scheduler:
    """Thread-safe. One thread takes requests, possibly several before they are done; any thread adds them."""

    def __init__(self, quiet_s: float = QUIET_S) -> None:
        self._quiet_s = quiet_s
        self._changed = threading.Condition()
        self._waiting: deque[RequestState] = deque()
        self._prefetch: deque[Request] = deque()
        self._readings: dict[_ReadingKey, _Reading] = {}
        """What is read ahead, the latest last. One that was interrupted stays until it is complete."""
        self._running: list[RequestState] = []
        self._turns = count(1)
        self._turn_of: OrderedDict[str | None, int] = OrderedDict()
        """When each document got its turn: with its first request and with each answer. The latest is last."""
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether nothing waits, runs, or is to be prefetched or read ahead."""
        with self._changed:
            return not (self._waiting or self._running or self._prefetch or self._readings)

    def add(self, state: RequestState) -> None:
        """Queues a request. Older ones of its document fail; prefetching stops, because the text has changed."""
        with self._changed:
            if state.request.document_id is not None:
                self._replace_older(state.request.document_id)
            self._prefetch.clear()
            for running in self._running:
                if running.in_background:
                    running.cancel.cancel()
            if _document(state) not in self._turn_of:
                self._give_turn(state)
            state.turn = self._turn_of[_document(state)]
            self._waiting.append(state)
            self._changed.notify()
        withdraw = self._withdrawal(state)
        state.cancel.on_cancel(withdraw)
        state.future.add_done_callback(withdraw)

    def enqueue_prefetch(self, request: Request) -> None:
        """Queues `request` to be computed while the engine is idle, so that it is cheap when it arrives."""
        with self._changed:
            if not self._waiting:
                self._prefetch.append(request)

    def enqueue_reading(self, request: Request, cancel: CancelToken, beside: bool = False) -> Future[bool]:
        """Queues a document to be read while the engine is idle, instead of an older state of it.

        The future tells whether it has been read, or was dropped.
        """
        document_id, reading = request.document_id, _Reading(request, beside)
        if document_id is None:
            _end(reading, was_read=False)
            return reading.future
        key = document_id, beside
        with self._changed:
            self._drop_reading(key)
            self._readings[key] = reading
            for older in [other for other in self._readings if other[1] == beside][:-MAX_READINGS]:
                self._drop_reading(older)
            self._changed.notify()

        def withdraw() -> None:
            with self._changed:
                if self._readings.get(key) is reading:
                    self._drop_reading(key)

        cancel.on_cancel(withdraw)
        return reading.future

    def is_to_read(self, document_id: str) -> bool:
        """Whether the prompt that a document's requests show waits to be read, or to be read further."""
        with self._changed:
            return (document_id, False) in self._readings

    def drop_reading(self, document_id: str) -> None:
        """The prompt that a document's requests show has been read by a request."""
        with self._changed:
            self._drop_reading((document_id, False))

    def take(self, patience: float | None = None) -> RequestState | None:
        """The next request; `done` must follow. Waits for one; None after `close`, or after `patience` seconds.

        Prefetching and reading ahead come only while nothing else runs.
        """
        started = time.monotonic()
        with self._changed:
            while not self._closed:
                waited = time.monotonic() - started
                if (state := self._next(waited)) is not None:
                    self._running.append(state)
                    return state
                limits = [self._quiet_s if self._prefetch or self._readings else None, patience]
                left = [limit - waited for limit in limits if limit is not None]
                if patience is not None and waited >= patience:
                    return None
                self._changed.wait(max(0.0, min(left)) if left else None)
        return None

    def done(self, state: RequestState) -> None:
        """A request that was taken is over."""
        with self._changed:
            if state not in self._running:  # it failed with all others
                return
            self._running.remove(state)
            if state.cancel.cancelled:
                return
            if state.reads_ahead:
                reading = self._readings.pop((state.request.document_id or "", state.beside), None)
                if reading is not None:
                    _end(reading, was_read=True)
            else:
                self._give_turn(state)

    def fail_all(self, error: LacunaError) -> None:
        """Fails every request that has no answer yet, waiting or running."""
        with self._changed:
            self._fail_waiting(error)
            while self._running:
                resolve(self._running.pop(), error)

    def close(self, error: LacunaError) -> None:
        """Cancels the running requests, fails the waiting ones, and ends `take`."""
        with self._changed:
            self._closed = True
            for running in self._running:
                running.cancel.cancel()
            self._fail_waiting(error)
            self._changed.notify()

    def wait(self) -> None:
        """Returns when a request waits, or after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)

    def _fail_waiting(self, error: LacunaError) -> None:
        self._prefetch.clear()
        for key in list(self._readings):
            self._drop_reading(key)
        while self._waiting:
            resolve(self._waiting.popleft(), error)

    def _withdrawal(self, state: RequestState) -> Callable[..., None]:
        """Removes a waiting request, and its text from memory, as soon as it is cancelled.

        Holds the request weakly: callers may keep the token and the future for long.
        """
        known = weakref.ref(state)

        def withdraw(*_: object) -> None:
            with self._changed:
                state = known()
                if state is None or state not in self._waiting:
                    return
                self._waiting.remove(state)
            resolve(state, RequestCancelled())

        return withdraw

    def _next(self, waited: float) -> RequestState | None:
        while self._waiting:
            state = min(self._waiting, key=self._priority)
            self._waiting.remove(state)
            if state.cancel.cancelled:
                resolve(state, RequestCancelled())
            elif state.future.set_running_or_notify_cancel():
                return state
        if self._running or waited < self._quiet_s:
            return None
        if self._prefetch:
            return RequestState(self._prefetch.popleft(), CancelToken(), in_background=True)
        if self._readings:
            reading = max(reversed(self._readings.values()), key=lambda reading: not reading.beside)
            return RequestState(
                reading.request, CancelToken(), in_background=True, reads_ahead=True, beside=reading.beside
            )
        return None

    def _priority(self, state: RequestState) -> tuple[int, int]:
        """The caller with the fewest running requests comes first; among equals, the document that waited longest.

        So a request inherits the turn of the one that it replaces. First come, first served would starve everybody once
        there are more users than the model can serve: each request would be replaced before its turn came.
        """
        running = sum(_caller(running) == _caller(state) for running in self._running)
        return running, state.turn

    def _give_turn(self, state: RequestState) -> None:
        self._turn_of[_document(state)] = next(self._turns)
        self._turn_of.move_to_end(_document(state))
        if len(self._turn_of) > _REMEMBERED:
            self._turn_of.popitem(last=False)

    def _drop_reading(self, key: _ReadingKey) -> None:
        """Forgets what is to be read of a document, and cancels it if it is being read."""
        if (reading := self._readings.pop(key, None)) is not None:
            _end(reading, was_read=False)
        for running in self._running:
            if running.reads_ahead and (running.request.document_id, running.beside) == key:
                running.cancel.cancel()

    def _replace_older(self, document_id: str) -> None:
        """Fails the document's waiting requests, and cancels the running ones."""
        for state in [other for other in self._waiting if other.request.document_id == document_id]:
            self._waiting.remove(state)
            resolve(state, RequestCancelled("The request was replaced by a newer one."))
        for running in self._running:
            if running.request.document_id == document_id:
                running.cancel.cancel()


def _end(reading: _Reading, was_read: bool) -> None:
    with suppress(InvalidStateError):  # cancelled by the caller
        reading.future.set_result(was_read)


def _caller(state: RequestState) -> str | None:
    return state.request.caller or state.request.document_id


def _document(state: RequestState) -> str | None:
    return state.request.document_id or state.request.caller
