"""What engines with a thread of their own have in common: their state, its listeners, and the start of the thread."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

from lacuna_inference.api import EngineState
from lacuna_inference.engine.listeners import Listener, Listeners


class ThreadedEngine(ABC):
    """Part of an `Engine`: `state`, `start` and `watch`. See `api.Engine` for the contract."""

    def __init__(self, state: EngineState, thread_name: str) -> None:
        self._state = state
        self._listeners = Listeners()
        self._closed = False
        self._changed = threading.RLock()
        """Guards the attributes above."""
        self._thread = threading.Thread(target=self._run, name=thread_name, daemon=True)

    @property
    def state(self) -> EngineState:
        return self._state

    def start(self) -> None:
        with self._changed:
            if self._thread.ident is None and not self._closed:
                self._enter_loading()
                self._thread.start()

    def watch(self, listener: Listener) -> None:
        with self._changed:
            self._listeners.add(listener, self._state)

    @abstractmethod
    def _enter_loading(self) -> None:
        """Enters the state that precedes the start of the thread."""

    @abstractmethod
    def _run(self) -> None:
        """The thread's main function."""
