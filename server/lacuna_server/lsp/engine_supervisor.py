"""Creates a session's engine from the settings, starts and watches it, restarts it after a failure, and replaces it.

Independent of the protocol: a `Reporter` shows the user what happens. Used on the event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeAlias

from lacuna_inference.api import Engine, EngineState, Phase
from lacuna_inference.errors import LacunaError
from lacuna_server.core.completer import Completer
from lacuna_server.core.quick import QuickModel
from lacuna_server.settings import ENGINE_SETTINGS, Settings

MakeEngine = Callable[[Settings], Engine]
Validate = Callable[[Settings], None]
"""Raises a LacunaError for settings whose model cannot be loaded. Reads the disk, so it runs in a thread."""
States: TypeAlias = "asyncio.Queue[EngineState]"

MAX_RESTARTS = 3
"""How often a session restarts its engine after a failure."""
_RETIRE_TIMEOUT_S = 10.0


class Reporter(Protocol):
    """Shows the user what happens to the engine."""

    async def loading(self, engine: Engine, states: States) -> Phase:
        """Shows the loading progress until it ends; returns the final phase."""
        ...

    def changed(self) -> None:
        """Called after the engine's state has changed."""

    def warn(self, text: str) -> None: ...

    def fail(self, text: str) -> None: ...


class EngineSupervisor:
    """Owns the engine and the completer that uses it."""

    def __init__(self, settings: Settings, make_engine: MakeEngine, validate: Validate = lambda _: None) -> None:
        """Raises BadRequest for settings that have no valid engine."""
        self._make_engine = make_engine
        self.validate = validate
        self._settings = settings
        self.engine, self.quick = self._engines(settings)
        """The engine, and that of the quick model if the settings name one."""
        self.completer = self._completer()
        self.retired: list[Engine] = []
        """Engines that were replaced; their memory must be freed before the next one loads."""
        self.restarts = 0
        """How often the engine was restarted after a failure."""
        self.announced: Engine | None = None
        """The last engine whose loading was shown."""
        self._loading: asyncio.Task[None] | None = None

    def start(self, reporter: Reporter) -> None:
        """Starts the engine, once, and shows its loading. Returns immediately; the rest happens in a task."""
        if self.announced is self.engine:
            return
        self.announced = self.engine
        previous, self._loading = self._loading, asyncio.ensure_future(self._load(self.engine, reporter))
        if previous is not None and previous is not asyncio.current_task():
            previous.cancel()

    def renew(self, settings: Settings) -> None:
        """Replaces the engine. The old one's memory is freed before the new one loads.

        Raises BadRequest, and keeps the old one, for settings that have no valid engine.
        """
        engines = self._engines(settings)
        self._settings = settings
        for old in filter(None, (self.engine, self.quick)):
            old.close(timeout=0)
            self.retired.append(old)
        self.engine, self.quick = engines
        self.completer = self._completer()

    async def obstacle(self, current: Settings, new: Settings) -> str | None:
        """Why the engine of the `new` settings would not load, if a running engine would be replaced by it."""
        running = self.announced is self.engine and self.engine.state.phase is not Phase.FAILED
        if engine_settings(new) == engine_settings(current) or not running:
            return None
        try:
            await asyncio.to_thread(self.validate, new)
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

        def forward_state(state: EngineState) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(states.put_nowait, state)

        engine.watch(forward_state)
        self._start(engine, self.quick, reporter)
        if await reporter.loading(engine, states) is Phase.WARM:
            await self._watch(engine, states, reporter)

    def _start(self, engine: Engine, quick: Engine | None, reporter: Reporter) -> None:
        """Starts the engine, after the quick model has loaded or failed: two that load at once are both slow."""
        if quick is None:
            engine.start()
            return
        loop = asyncio.get_running_loop()

        def loaded(state: EngineState) -> None:
            if engine is self.engine:
                engine.start()
            if state.phase is Phase.FAILED:
                reporter.warn(f"Lacuna: the quick model cannot help: {state.message}")

        def tell(state: EngineState) -> None:
            if state.phase in (Phase.WARM, Phase.FAILED):
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(loaded, state)

        quick.watch(tell)
        quick.start()

    def _engines(self, settings: Settings) -> tuple[Engine, Engine | None]:
        quick = settings.of_quick_model()
        return self._make_engine(settings), None if quick is None else self._make_engine(quick)

    def _completer(self) -> Completer:
        return Completer(self.engine, quick=None if self.quick is None else QuickModel(self.quick))

    async def _watch(self, engine: Engine, states: States, reporter: Reporter) -> None:
        """Waits until a warm engine fails, and restarts it, at most `MAX_RESTARTS` times in a session."""
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
        reporter.warn("Lacuna: the engine ended unexpectedly and was restarted; see the log for details.")
        self.renew(self._settings)
        self.start(reporter)


def engine_settings(settings: Settings) -> tuple[object, ...]:
    """The values of the engine's settings: if they differ, another engine is needed."""
    return tuple(getattr(settings, name) for name in sorted(ENGINE_SETTINGS))
