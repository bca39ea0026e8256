"""Documents that an editor opens are read by the engine before the first key."""

from __future__ import annotations

import asyncio

import pytest
from connection import Connection

from lacuna_inference.api import EngineState, Phase
from lacuna_inference.engine.fake import FakeEngine


def opened(connection: Connection, name: str, text: str = "x = 1\n", language: str = "python") -> None:
    item = {"uri": f"file:///w/{name}", "languageId": language, "version": 1, "text": text}
    connection.notify("textDocument/didOpen", {"textDocument": item})


def read(engine: FakeEngine) -> list[tuple[str, ...]]:
    return [pending.request.parts for pending in engine.read if not pending.cancel.cancelled]


async def test_a_document_is_read_when_it_is_opened_until_it_is_closed() -> None:
    engine = FakeEngine()
    connection = Connection(engine)
    opened(connection, "a.py", "é = 1\r\n")
    (pending,) = engine.read
    assert (pending.request.parts, pending.request.path) == (("é = 1\n",), "/w/a.py")
    assert not engine.requests
    connection.notify("textDocument/didClose", {"textDocument": {"uri": "file:///w/a.py"}})
    assert pending.cancel.cancelled


async def test_secrets_and_what_the_settings_exclude_are_not_read() -> None:
    engine = FakeEngine()
    options = {"exclude": ["*.min.js"], "languages": {"markdown": False}}
    connection = Connection(engine, params={"initializationOptions": options})
    opened(connection, ".env")
    opened(connection, "a.min.js", language="javascript")
    opened(connection, "a.md", language="markdown")
    connection.notify("textDocument/didOpen", {"textDocument": {"uri": "file:///w/a.py"}})  # out of sync
    assert not engine.read
    off = Connection(engine, params={"initializationOptions": {"look_ahead": False}})
    opened(off, "b.py")
    assert not engine.read


@pytest.mark.parametrize("phase", [Phase.UNLOADED, Phase.LOADING])
async def test_the_last_documents_are_read_once_the_model_is_there(phase: Phase) -> None:
    engine = FakeEngine(phase=phase)
    connection = Connection(engine)
    for number in range(5):
        opened(connection, f"{number}.py", f"{number}\n")
    assert not engine.read
    connection.notify("initialized", {})
    engine.enter(EngineState(Phase.WARM))
    async with asyncio.timeout(10):
        while not engine.read:
            await asyncio.sleep(0)
    assert read(engine) == [("3\n",), ("4\n",)]
