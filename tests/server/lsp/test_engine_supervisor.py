"""What a client is notified of when an engine fails, or ends after it was warm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from lsprotocol import types

from lacuna_inference.api import EngineState, Phase
from lacuna_inference.engine.fake import FakeEngine
from lacuna_server.lsp import app
from lacuna_server.lsp.engine_supervisor import MAX_RESTARTS
from lacuna_server.lsp.features import loading
from lacuna_server.lsp.language_server import LacunaServer
from lacuna_server.settings import Settings

FAILED = EngineState(Phase.FAILED, message="It is broken.")


class Observed:
    """A server with fake engines, and the messages shown to its client."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, quick_model: str = "") -> None:
        self.engines: list[FakeEngine] = []
        self.models: list[str] = []
        self.shown: list[str] = []
        self.logged: list[str] = []
        self.server: LacunaServer = app.build(
            Settings(statistics=False, model="larger", quick_model=quick_model), make_engine=self._make
        )
        monkeypatch.setattr(self.server, "log_to_client", lambda _, text: self.logged.append(text))
        monkeypatch.setattr(self.server, "window_show_message", lambda params: self.shown.append(params.message))

    def _make(self, settings: Settings) -> FakeEngine:
        self.models.append(settings.model)
        self.engines.append(FakeEngine("x", phase=Phase.UNLOADED))
        return self.engines[-1]

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not happened():
                await asyncio.sleep(0)


async def turns() -> None:
    """Lets the event loop run everything that is ready."""
    for _ in range(100):
        await asyncio.sleep(0)


def test_an_engine_that_ends_is_restarted_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        observed = Observed(monkeypatch)
        loading.start(observed.server)
        for number in range(1, 5):
            await observed.until(lambda: len(observed.logged) == number)  # noqa: B023
            observed.engines[-1].enter(FAILED)
            if number <= MAX_RESTARTS:
                await observed.until(lambda: len(observed.engines) == number + 1)  # noqa: B023
        await turns()
        assert len(observed.engines) == 1 + MAX_RESTARTS
        *healed, last = observed.shown
        assert len(healed) == MAX_RESTARTS
        assert all("was restarted" in message for message in healed)
        assert last == "Lacuna: It is broken."
        assert observed.engines[0].closed

    asyncio.run(scenario())


def test_an_engine_that_does_not_load_is_reported_once_and_not_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        observed = Observed(monkeypatch)
        engine = observed.engines[0]
        monkeypatch.setattr(engine, "start", lambda: engine.enter(FAILED))
        loading.start(observed.server)
        await observed.until(lambda: bool(observed.shown))
        await turns()
        assert observed.shown == ["Lacuna: It is broken."]
        assert len(observed.engines) == 1

    asyncio.run(scenario())


def test_the_message_type_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        observed = Observed(monkeypatch)
        kinds: list[types.MessageType] = []
        monkeypatch.setattr(observed.server, "window_show_message", lambda params: kinds.append(params.type))
        loading.start(observed.server)
        await observed.until(lambda: bool(observed.logged))
        observed.engines[0].enter(FAILED)
        await observed.until(lambda: bool(kinds))
        assert kinds == [types.MessageType.Warning]

    asyncio.run(scenario())


def test_an_engine_replaced_while_it_loads_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        observed = Observed(monkeypatch)
        monkeypatch.setattr(observed.engines[0], "start", lambda: None)
        loading.start(observed.server)
        for _ in range(2):
            observed.server.session.supervisor.renew(observed.server.session.settings)
            loading.start(observed.server)
        await observed.until(lambda: bool(observed.logged))
        assert [engine.closed for engine in observed.engines] == [True, True, False]
        assert len(observed.logged) == 1

    asyncio.run(scenario())


def test_the_quick_model_runs_beside_the_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        observed = Observed(monkeypatch, quick_model="small")
        loading.start(observed.server)
        await observed.until(lambda: all(engine.state.phase is Phase.WARM for engine in observed.engines))
        assert observed.models == ["larger", "small"]
        session = observed.server.session
        session.supervisor.renew(session.settings.model_copy(update={"quick_model": ""}))
        loading.start(observed.server)
        await observed.until(lambda: observed.engines[-1].state.phase is Phase.WARM)
        assert observed.models[2:] == ["larger"]
        assert [engine.closed for engine in observed.engines] == [True, True, False]

    asyncio.run(scenario())


def test_without_its_quick_model_a_server_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        observed = Observed(monkeypatch, quick_model="small")
        loading.start(observed.server)
        await observed.until(lambda: bool(observed.logged))
        quick = observed.engines[observed.models.index("small")]
        quick.enter(FAILED)
        await observed.until(lambda: bool(observed.shown))
        await turns()
        assert observed.shown == ["Lacuna: the quick model cannot help: It is broken."]
        assert len(observed.engines) == 2
        assert observed.server.session.engine.state.phase is Phase.WARM

    asyncio.run(scenario())
