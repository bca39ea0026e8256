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


class Heard:
    """A server with fake engines, and the messages shown to its client."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engines: list[FakeEngine] = []
        self.shown: list[str] = []
        self.said: list[str] = []
        self.server: LacunaServer = app.build(Settings(statistics=False), make_engine=self._make)
        monkeypatch.setattr(self.server, "log_to_client", lambda _, text: self.said.append(text))
        monkeypatch.setattr(self.server, "window_show_message", lambda params: self.shown.append(params.message))

    def _make(self, _: Settings) -> FakeEngine:
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
        heard = Heard(monkeypatch)
        loading.start(heard.server)
        for number in range(1, 5):
            await heard.until(lambda: len(heard.said) == number)  # noqa: B023
            heard.engines[-1].enter(FAILED)
            if number <= MAX_RESTARTS:
                await heard.until(lambda: len(heard.engines) == number + 1)  # noqa: B023
        await turns()
        assert len(heard.engines) == 1 + MAX_RESTARTS
        *healed, last = heard.shown
        assert len(healed) == MAX_RESTARTS
        assert all("was restarted" in message for message in healed)
        assert last == "Lacuna: It is broken."
        assert heard.engines[0].closed

    asyncio.run(scenario())


def test_an_engine_that_does_not_load_is_reported_once_and_not_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        heard = Heard(monkeypatch)
        engine = heard.engines[0]
        monkeypatch.setattr(engine, "start", lambda: engine.enter(FAILED))
        loading.start(heard.server)
        await heard.until(lambda: bool(heard.shown))
        await turns()
        assert heard.shown == ["Lacuna: It is broken."]
        assert len(heard.engines) == 1

    asyncio.run(scenario())


def test_the_message_type_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        heard = Heard(monkeypatch)
        kinds: list[types.MessageType] = []
        monkeypatch.setattr(heard.server, "window_show_message", lambda params: kinds.append(params.type))
        loading.start(heard.server)
        await heard.until(lambda: bool(heard.said))
        heard.engines[0].enter(FAILED)
        await heard.until(lambda: bool(kinds))
        assert kinds == [types.MessageType.Warning]

    asyncio.run(scenario())


def test_an_engine_replaced_while_it_loads_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        heard = Heard(monkeypatch)
        monkeypatch.setattr(heard.engines[0], "start", lambda: None)
        loading.start(heard.server)
        for _ in range(2):
            heard.server.session.supervisor.renew(heard.server.session.settings)
            loading.start(heard.server)
        await heard.until(lambda: bool(heard.said))
        assert [engine.closed for engine in heard.engines] == [True, True, False]
        assert len(heard.said) == 1

    asyncio.run(scenario())
