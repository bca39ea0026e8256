"""Notifies listeners of an engine's states; their failures do not reach the engine."""

from __future__ import annotations

import logging
from collections.abc import Callable

from lacuna_inference.api import EngineState

logger = logging.getLogger(__name__)

Listener = Callable[[EngineState], None]


class Listeners:
    """Listeners in the order they were added. An exception in one is logged and does not affect the others.

    Not thread-safe: the engine calls it under the lock that guards its state, so that states arrive in order.
    """

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def add(self, listener: Listener, state: EngineState) -> None:
        """Adds `listener` and notifies it of the current state."""
        self._listeners.append(listener)
        _notify(listener, state)

    def notify(self, state: EngineState) -> None:
        for listener in tuple(self._listeners):  # a listener may add another
            _notify(listener, state)


def _notify(listener: Listener, state: EngineState) -> None:
    try:
        listener(state)
    except Exception:
        logger.exception("A listener failed when notified that the engine is %s.", state.phase.value)
