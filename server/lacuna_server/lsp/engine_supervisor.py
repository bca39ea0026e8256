"""The engine of a session: made from the settings, started, watched, restarted when it ends, and replaced.

Knows nothing of the protocol; a `Reporter` shows the user what happens. On the event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeAlias

from lacuna_inference.api import Engine, EngineState, Phase
from lacuna_inference.errors import LacunaError
from lacuna_server.core.completer import Completer
from lacuna_server.settings import OF_THE_ENGINE, Settings

MakeEngine = Callable[[Settings], Engine]
Validate = Callable[[Settings], None]
"""Raises a LacunaError for settings whose engine could not load. Reads the disk, so it runs in a thread."""
States: TypeAlias = "asyncio.Queue[EngineState]"

MAX_RESTARTS = 3
"""Engines of a session that are restarted after they ended."""
_RETIRE_TIMEOUT_S = 10.0


class Reporter(Protocol):
    """Shows the user what happens to the engine."""

    async def loading(self, engine: Engine, states: States) -> Phase:
        """Shows the loading until it ends; returns how it did."""
        ...

    def changed(self) -> None:
        """The engine's state is another."""

    def warn(self, text: str) -> None: ...

    def fail(self, text: str) -> None: ...


class EngineSupervisor:
    """Owns the engine, and the completer that asks it."""

    def __init__(self, settings: Settings, make_engine: MakeEngine, validate: Validate = lambda _: None) -> None:
        """Raises BadRequest for settings that no engine can be made of."""
        self._make_engine = make_engine
        self.validate = validate
        self._settings = settings
        self.engine = make_engine(settings)
        self.completer = Completer(self.engine)
        self.retired: list[Engine] = []
        """Engines that were replaced; their memory must be free before the next one loads."""
        self.restarts = 0
        """How often an engine was restarted after it ended."""
        self.announced: Engine | None = None
        """The engine whose loading was shown last."""
        self._loading: asyncio.Task[None] | None = None

    def start(self, reporter: Reporter) -> None:
        """Starts the engine and shows its loading, once; returns at once, the rest happens in a task."""
        if self.announced is self.engine:
            return
        self.announced = self.engine
        former, self._loading = self._loading, asyncio.ensure_future(self._load(self.engine, reporter))
        if former is not None and former is not asyncio.current_task():
            former.cancel()

    def renew(self, settings: Settings) -> None:
        """Replaces the engine. The old one's memory is freed before the new one loads.

        Raises BadRequest, and keeps the old one, for settings that no engine can be made of.
        """
        engine = self._make_engine(settings)
        self._settings = settings
        self.engine.close(timeout=0)
        self.retired.append(self.engine)
        self.engine = engine
        self.completer = Completer(engine)

    async def obstacle(self, present: Settings, wanted: Settings) -> str | None:
        """Why no engine of the `wanted` settings would load, where a running one would be given up for it."""
        runs = self.announced is self.engine and self.engine.state.phase is not Phase.FAILED
        if engine_settings(wanted) == engine_settings(present) or not runs:
            return None
        try:
            await asyncio.to_thread(self.validate, wanted)
        except LacunaError as error:
            return str(error)
        return None

    async def _load(self, engine: Engine, reporter: Reporter) -> None:
        while self.retired:
            closing = self.retired[0]
            await asyncio.shield(asyncio.to_thread(closing.close, _RETIRE_TIMEOUT_S))
            if closing in self.retired:
                self.retired.remove(closing)
        loop = asyncio.get_running_loop()
        states: States = asyncio.Queue()

        def pass_on(state: EngineState) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(states.put_nowait, state)

        engine.watch(pass_on)
        engine.start()
        if await reporter.loading(engine, states) is Phase.WARM:
            await self._watch(engine, states, reporter)

    async def _watch(self, engine: Engine, states: States, reporter: Reporter) -> None:
        """Waits for the end of a warm engine, and restarts it, at most `MAX_RESTARTS` times in a session."""
        unreachable = False
        while engine.state.phase is not Phase.FAILED:
            state = await states.get()
            reporter.changed()
            if state.phase is (Phase.WARM if unreachable else Phase.UNREACHABLE):
                unreachable = not unreachable
                reporter.warn(f"Lacuna: {state.message}.")
        if engine is not self.engine:
            return
        if self.restarts >= MAX_RESTARTS:
            reporter.fail(f"Lacuna: {engine.state.message}")
            return
        self.restarts += 1
        reporter.warn("Lacuna: the engine ended unexpectedly and was restarted; the log says more.")
        self.renew(self._settings)
        self.start(reporter)


def engine_settings(settings: Settings) -> tuple[object, ...]:
    """What an engine is made of: where it differs, another engine is needed."""
    return tuple(getattr(settings, name) for name in sorted(OF_THE_ENGINE))
