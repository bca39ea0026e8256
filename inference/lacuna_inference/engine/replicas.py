"""Data parallelism: several engines with the same model, one on each device, as one engine.

A document stays with the engine whose prefix cache holds it, where each key costs only what was typed. New documents
go to the least busy engine. Documents of an engine that fails move to the others.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

from lacuna_inference.api import CancelToken, CompletionResult, Engine, EngineState, Phase, Request
from lacuna_inference.engine.listeners import Listener, Listeners

_REMEMBERED = 4096
"""Documents whose engine is remembered."""
_PRECEDENCE = (Phase.WARM, Phase.LOADING, Phase.ASLEEP, Phase.UNLOADED, Phase.UNREACHABLE, Phase.FAILED)
"""The replicas together are in the first of these phases that any replica is in."""


class ReplicatedEngine:
    """The `Engine` over one or more `engines`. See `api.Engine` for the contract."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = list(engines)
        self._changed = threading.RLock()
        self._listeners = Listeners()
        self._states: dict[int, EngineState] = {}
        self._engine_of: OrderedDict[str, int] = OrderedDict()
        self._waiting = [0] * len(self._engines)
        self.moved = 0
        """Number of documents that moved to another engine because theirs failed."""
        for number, engine in enumerate(self._engines):
            engine.watch(lambda state, number=number: self._on_state(number, state))  # type: ignore[misc]

    @property
    def state(self) -> EngineState:
        with self._changed:
            states = [self._states[number] for number in range(len(self._engines))]
        best = min(states, key=lambda state: _PRECEDENCE.index(state.phase))
        warm = sum(state.phase is Phase.WARM for state in states)
        if best.phase is not Phase.WARM:
            return best
        failed = [state.message for state in states if state.phase is Phase.FAILED]
        message = f"{warm} of {len(states)} replicas: {best.message}" + (f"; failed: {failed[0]}" if failed else "")
        return replace(best, message=message)

    def start(self) -> None:
        for engine in self._engines:
            engine.start()

    def submit(self, request: Request, cancel: CancelToken | None = None) -> Future[CompletionResult]:
        with self._changed:
            number = self._route(request)
            self._waiting[number] += 1
        future = self._engines[number].submit(request, cancel)
        future.add_done_callback(lambda _: self._done(number))
        return future

    def read_ahead(self, request: Request, cancel: CancelToken, beside: bool = False) -> Future[bool]:
        with self._changed:
            number = self._route(request)
        return self._engines[number].read_ahead(request, cancel, beside)

    def watch(self, listener: Listener) -> None:
        with self._changed:
            self._listeners.add(listener, self.state)

    def close(self, timeout: float = 2.0) -> bool:
        closed = [engine.close(timeout) for engine in self._engines]
        return all(closed)

    def _route(self, request: Request) -> int:
        """The engine of the request's document or caller if it has one, otherwise the least busy."""
        key = request.document_id or request.caller
        known = self._engine_of.get(key) if key is not None else None
        if known is not None and self._usable(known):
            number = known
        else:
            self.moved += known is not None
            number = self._least_busy()
        if key is not None:
            self._engine_of[key] = number
            self._engine_of.move_to_end(key)
            if len(self._engine_of) > _REMEMBERED:
                self._engine_of.popitem(last=False)
        return number

    def _least_busy(self) -> int:
        usable = [number for number in range(len(self._engines)) if self._usable(number)]
        documents = list(self._engine_of.values())
        ready = [number for number in usable if self._states[number].phase is Phase.WARM] or usable
        return min(
            ready or range(len(self._engines)),
            key=lambda number: (self._waiting[number], documents.count(number), number),
        )

    def _usable(self, number: int) -> bool:
        return self._states[number].phase is not Phase.FAILED

    def _done(self, number: int) -> None:
        with self._changed:
            self._waiting[number] -= 1

    def _on_state(self, number: int, state: EngineState) -> None:
        with self._changed:
            self._states[number] = state
            if len(self._states) < len(self._engines):
                return
            self._listeners.notify(self.state)
