"""What prompts show of other files: chosen at the first request, and again in pauses, never by a key."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from connection import Connection

from lacuna_inference.api import CancelToken, CompletionResult, ContextFile, EngineState, ModelFacts, Phase, Request
from lacuna_inference.engine.fake import FakeEngine, PendingReading
from lacuna_server.lsp import other_files
from lacuna_server.lsp.other_files import most_characters
from lacuna_server.workspace import Indexer

LEDGER = """class Ledger:
    def add_entry(self, cents: int) -> None:
        self.cents += cents
"""
USER = "from ledger import Ledger\n\ndef pay(ledger: Ledger) -> None:\n    ledger.\n"
ALARM = "def ring_bell(times: int) -> None:\n    print('ring')\n"
FACTS = ModelFacts(shows_files=True, reading_speed=5000.0, context=2048)


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_files, "PAUSE_S", 0.0)


async def session_in(
    folder: Path, facts: ModelFacts = FACTS, engine: FakeEngine | None = None, **settings: Any
) -> tuple[Connection, FakeEngine]:
    """A connection whose workspace is `folder`, which has been indexed."""
    engine = engine or FakeEngine()
    engine.enter(EngineState(Phase.WARM, facts=facts))
    params = {
        "workspaceFolders": [{"uri": folder.as_uri(), "name": "w"}],
        "initializationOptions": {"other_files": True, **settings},
    }
    connection = Connection(engine, params=params)
    await indexed(connection)
    return connection, engine


async def indexed(connection: Connection, new: Path | None = None) -> None:
    indexer = connection.server.session.other_files._indexer
    if indexer is not None:
        async with asyncio.timeout(10):
            while new is not None and not indexer.index.holds(str(new)):
                await asyncio.sleep(0)
        assert await asyncio.to_thread(indexer.wait, 10)


def opened(connection: Connection, file: Path) -> str:
    item = {"uri": file.as_uri(), "languageId": "python", "version": 1, "text": file.read_text()}
    connection.notify("textDocument/didOpen", {"textDocument": item})
    return file.as_uri()


def typed(connection: Connection, uri: str, text: str) -> None:
    connection.notify(
        "textDocument/didChange", {"textDocument": {"uri": uri, "version": 2}, "contentChanges": [{"text": text}]}
    )


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


async def asked(connection: Connection, engine: FakeEngine, uri: str, line: int) -> tuple[ContextFile, ...]:
    """What the next request at the end of `line` shows."""
    await connection.ask(uri, position={"line": line, "character": 99})
    return engine.requests[-1].context_files


async def reconsidered(connection: Connection) -> None:
    session = connection.server.session
    assert session.other_files._reconsidering is not None
    await session.other_files._reconsidering
    await asyncio.gather(*session.other_files._replacing.values())


async def asked_after_pause(connection: Connection, engine: FakeEngine, uri: str, line: int) -> tuple[ContextFile, ...]:
    """As `asked`, once everything is indexed and was looked up in a pause."""
    await indexed(connection)
    await asked(connection, engine, uri, line)
    await reconsidered(connection)
    return await asked(connection, engine, uri, line)


async def test_the_first_request_shows_what_the_code_uses_of_other_files(tmp_path: Path) -> None:
    connection, engine = await session_in(written(tmp_path, ledger=LEDGER, user=USER))
    file, *_ = await asked(connection, engine, opened(connection, tmp_path / "user.py"), 3)
    assert file.path == "ledger.py"
    assert "def add_entry(self, cents: int) -> None" in file.text
    assert engine.requests[-1].repository == tmp_path.name
    explained = await connection.call("workspace/executeCommand", {"command": "lacuna.explain"})
    shown, similar = explained["result"]["other_files"]
    assert (shown["name"], shown["path"], shown["line"], shown["why"]) == (
        "Ledger", "ledger.py", 1, "used in this function",
    )  # fmt: skip
    assert (similar["name"], similar["path"], similar["why"]) == ("", "ledger.py", "similar code")
    await reconsidered(connection)
    assert not [pending for pending in engine.read if pending.request.context_files], "nothing has changed"


async def test_a_slow_model_is_shown_other_files_once_it_has_read_them_in_a_pause(tmp_path: Path) -> None:
    facts = replace(FACTS, reading_speed=200.0)
    connection, engine = await session_in(written(tmp_path, ledger=LEDGER, user=USER), facts)
    uri = opened(connection, tmp_path / "user.py")
    assert engine.read[-1].request.keeps_files, "it is opened"
    assert await asked(connection, engine, uri, 3) == ()
    assert engine.requests[-1].keeps_files, "what was shown before a restart"
    await reconsidered(connection)
    assert engine.read[-1].beside
    files = await asked(connection, engine, uri, 3)
    assert not engine.requests[-1].keeps_files
    assert files == engine.read[-1].request.context_files
    assert {file.path for file in files} == {"ledger.py"}


async def test_a_model_that_mixes_them_in_reads_nothing(tmp_path: Path) -> None:
    facts = ModelFacts(mixes_files=True, reading_speed=100.0, context=512)
    connection, engine = await session_in(written(tmp_path, ledger=LEDGER, user="import ledger\n\n\n\n\n\n"), facts)
    uri = opened(connection, tmp_path / "user.py")
    await indexed(connection)
    before = len(engine.read)
    await asked(connection, engine, uri, 0)
    typed(connection, uri, USER)
    await asked(connection, engine, uri, 3)
    await reconsidered(connection)
    files = await asked(connection, engine, uri, 3)
    assert any("def add_entry(self, cents: int) -> None" in file.text for file in files)
    assert len(engine.read) == before


async def test_a_slow_model_keeps_nothing_once_nothing_was_found(tmp_path: Path) -> None:
    connection, engine = await session_in(written(tmp_path, user="x = 1\n"), replace(FACTS, reading_speed=200.0))
    uri = opened(connection, tmp_path / "user.py")
    assert await asked(connection, engine, uri, 0) == ()
    assert engine.requests[-1].keeps_files
    await reconsidered(connection)
    typed(connection, uri, "x = 1\ny")
    assert await asked(connection, engine, uri, 1) == ()
    assert not engine.requests[-1].keeps_files


async def test_a_slow_model_keeps_what_it_was_shown_until_everything_is_indexed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = replace(FACTS, reading_speed=200.0)
    connection, engine = await session_in(written(tmp_path, ledger=LEDGER, user=USER), facts)
    monkeypatch.setattr(Indexer, "wait", lambda *_: False)
    uri = opened(connection, tmp_path / "user.py")
    await asked(connection, engine, uri, 3)
    await reconsidered(connection)
    assert await asked(connection, engine, uri, 3) == ()
    assert engine.requests[-1].keeps_files


async def test_it_changes_in_a_pause_and_is_read_ahead_then(tmp_path: Path) -> None:
    connection, engine = await session_in(written(tmp_path, ledger=LEDGER, alarm=ALARM, user=USER))
    uri = opened(connection, tmp_path / "user.py")
    first = await asked(connection, engine, uri, 3)
    await reconsidered(connection)
    text = "from alarm import ring_bell\n" + USER.replace("    ledger", "    ring_bell(3)\n    ledger")
    typed(connection, uri, text)
    assert await asked(connection, engine, uri, 5) == first
    await reconsidered(connection)
    request = engine.read[-1].request
    assert "".join(request.parts) == text
    assert {file.path for file in request.context_files} == {"alarm.py", "ledger.py"}
    assert await asked(connection, engine, uri, 5) == request.context_files


class SlowReader(FakeEngine):
    """Answers at once, and reads until `end_reading` is called."""

    def read_ahead(self, request: Request, cancel: CancelToken, beside: bool = False) -> Future[bool]:
        self.read.append(PendingReading(request, cancel, beside))
        return self.read[-1].future

    def end_reading(self, was_read: bool) -> None:
        self.read[-1].future.set_result(was_read)


async def replaced(connection: Connection, engine: SlowReader) -> None:
    """Waits until something else is being read for the document that asked last."""
    other = connection.server.session.other_files
    assert other._reconsidering is not None
    await other._reconsidering
    async with asyncio.timeout(10):
        while not (engine.read and engine.read[-1].beside):
            await asyncio.sleep(0)


@pytest.mark.parametrize("was_read", [True, False])
async def test_keys_show_what_they_showed_until_something_else_was_read(tmp_path: Path, was_read: bool) -> None:
    engine = SlowReader()
    connection, _ = await session_in(written(tmp_path, ledger=LEDGER, alarm=ALARM, user=USER), engine=engine)
    uri = opened(connection, tmp_path / "user.py")
    first = await asked(connection, engine, uri, 3)
    text = "from alarm import ring_bell\n" + USER.replace("    ledger", "    ring_bell(3)\n    ledger")
    typed(connection, uri, text)
    await asked(connection, engine, uri, 5)
    await replaced(connection, engine)
    readings = len(engine.read)
    assert await asked(connection, engine, uri, 4) == first
    await connection.server.session.other_files._reconsidering  # type: ignore[misc]
    assert len(engine.read) == readings, "one is read at a time"
    engine.end_reading(was_read)
    await asyncio.gather(*connection.server.session.other_files._replacing.values())
    assert await asked(connection, engine, uri, 5) == (engine.read[-1].request.context_files if was_read else first)


async def test_a_prompt_that_is_not_read_yet_gives_way_to_one_with_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, facts = SlowReader(), replace(FACTS, reading_speed=200.0)
    connection, _ = await session_in(written(tmp_path, ledger=LEDGER, user=USER), facts, engine)
    uri = opened(connection, tmp_path / "user.py")
    result = engine.submit(Request(("x",))).result()
    narrow = replace(result, metrics=replace(result.metrics, narrow=True))
    monkeypatch.setattr(engine, "submit", lambda request, _=None: answered(engine, request, narrow))
    assert await asked(connection, engine, uri, 3) == ()
    other = connection.server.session.other_files
    assert other._reconsidering is not None
    await other._reconsidering
    await asyncio.sleep(0)
    assert not engine.read[-1].beside
    assert await asked(connection, engine, uri, 3) == engine.read[-1].request.context_files != ()


def answered(engine: FakeEngine, request: Request, result: CompletionResult) -> Future[CompletionResult]:
    engine.requests.append(request)
    future: Future[CompletionResult] = Future()
    future.set_result(result)
    return future


async def test_what_was_read_is_not_shown_once_the_rules_have_changed(tmp_path: Path) -> None:
    engine = SlowReader()
    connection, _ = await session_in(written(tmp_path, ledger=LEDGER, alarm=ALARM, user=USER), engine=engine)
    uri = opened(connection, tmp_path / "user.py")
    await asked(connection, engine, uri, 3)
    typed(connection, uri, "from alarm import ring_bell\n" + USER.replace("    ledger", "    ring_bell(3)\n    ledger"))
    await asked(connection, engine, uri, 5)
    await replaced(connection, engine)
    await connection.server.session.reconfigure({"other_files": True, "exclude": ["alarm.py"]})
    engine.end_reading(True)
    typed(connection, uri, USER + "\n")
    assert "alarm.py" not in {file.path for file in await asked(connection, engine, uri, 3)}


async def test_an_edit_of_another_document_counts_before_it_is_saved(tmp_path: Path) -> None:
    connection, engine = await session_in(written(tmp_path, ledger=LEDGER, user=USER))
    other = opened(connection, tmp_path / "ledger.py")
    typed(connection, other, LEDGER.replace("add_entry", "book_entry"))
    uri = opened(connection, tmp_path / "user.py")
    await asked(connection, engine, uri, 3)
    file, *_ = await asked_after_pause(connection, engine, uri, 3)
    assert "book_entry" in file.text
    connection.notify("textDocument/didClose", {"textDocument": {"uri": other}})
    file, *_ = await asked_after_pause(connection, engine, uri, 3)
    assert "add_entry" in file.text


async def test_files_that_change_on_the_disk_are_read_again(tmp_path: Path) -> None:
    connection, engine = await session_in(written(tmp_path, user=USER))
    uri = opened(connection, tmp_path / "user.py")
    assert await asked(connection, engine, uri, 3) == ()
    written(tmp_path, ledger=LEDGER)
    changed = (tmp_path / "ledger.py").as_uri()
    connection.notify("workspace/didChangeWatchedFiles", {"changes": [{"uri": changed, "type": 1}]})
    await indexed(connection, tmp_path / "ledger.py")
    assert await asked_after_pause(connection, engine, uri, 3)
    (tmp_path / "ledger.py").unlink()
    connection.notify("workspace/didChangeWatchedFiles", {"changes": [{"uri": changed, "type": 3}, 7, {"uri": 1}]})
    await indexed(connection)
    again = opened(connection, written(tmp_path, again=USER) / "again.py")
    assert "ledger.py" not in {file.path for file in await asked(connection, engine, again, 3)}


@pytest.mark.parametrize(
    ("facts", "settings"),
    [
        (ModelFacts(context=2048, reading_speed=1000.0), {}),
        (FACTS, {"other_files": False}),
        (FACTS, {"exclude": ["ledger.py"]}),
    ],
)
async def test_nothing_is_shown_to_a_model_without_a_form_for_it_or_against_the_settings(
    tmp_path: Path, facts: ModelFacts, settings: dict[str, Any]
) -> None:
    connection, engine = await session_in(written(tmp_path, ledger=LEDGER, user=USER), facts, **settings)
    assert await asked(connection, engine, opened(connection, tmp_path / "user.py"), 3) == ()


async def test_the_index_ends_when_the_user_turns_it_off(tmp_path: Path) -> None:
    connection, engine = await session_in(written(tmp_path, ledger=LEDGER, user=USER))
    uri = opened(connection, tmp_path / "user.py")
    assert await asked(connection, engine, uri, 3)
    settings = {"settings": {"lacuna": {"other_files": False}}}
    connection.notify("workspace/didChangeConfiguration", settings)
    async with asyncio.timeout(10):
        while connection.server.session.settings.other_files:
            await asyncio.sleep(0)
    typed(connection, uri, USER + "\n")
    assert await asked(connection, engine, uri, 3) == ()


async def test_a_file_that_is_excluded_later_is_shown_no_more(tmp_path: Path) -> None:
    connection, engine = await session_in(written(tmp_path, ledger=LEDGER, user=USER))
    uri = opened(connection, tmp_path / "user.py")
    assert await asked(connection, engine, uri, 3)
    await connection.server.session.reconfigure({"other_files": True, "exclude": ["ledger.py"]})
    typed(connection, uri, USER + "\n")
    assert await asked(connection, engine, uri, 3) == ()


async def test_the_index_ends_also_while_the_model_sleeps(tmp_path: Path) -> None:
    connection, engine = await session_in(written(tmp_path, ledger=LEDGER, user=USER))
    uri = opened(connection, tmp_path / "user.py")
    assert await asked(connection, engine, uri, 3)
    engine.enter(EngineState(Phase.ASLEEP, facts=FACTS))
    await connection.server.session.reconfigure({"other_files": False})
    engine.enter(EngineState(Phase.WARM, facts=FACTS))
    typed(connection, uri, USER + "\n")
    assert await asked(connection, engine, uri, 3) == ()


async def test_a_document_that_was_closed_is_not_read_in_the_next_pause(tmp_path: Path) -> None:
    connection, engine = await session_in(written(tmp_path, user=USER))
    uri = opened(connection, tmp_path / "user.py")
    assert await asked(connection, engine, uri, 3) == ()
    connection.server.session.other_files._contexts.index.update(  # type: ignore[union-attr]
        str(tmp_path / "ledger.py"), LEDGER
    )
    read = len(engine.read)
    connection.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    await reconsidered(connection)
    assert len(engine.read) == read


async def test_where_nothing_is_found_a_key_does_not_look_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, engine = await session_in(written(tmp_path, user="x = 1\n"))
    monkeypatch.setattr(other_files, "PAUSE_S", 60.0)
    looked = list[str]()
    contexts = connection.server.session.other_files._contexts
    assert contexts is not None
    monkeypatch.setattr(contexts, "wanted", lambda document_id, *_: looked.append(document_id))
    uri = opened(connection, tmp_path / "user.py")
    for text in ("x = 1\ny", "x = 1\nyz"):
        typed(connection, uri, text)
        assert await asked(connection, engine, uri, 1) == ()
    assert looked == [uri]


async def test_source_files_are_watched_by_a_capable_client() -> None:
    watching = {"didChangeWatchedFiles": {"dynamicRegistration": True}}
    params = {"initializationOptions": {"other_files": True}}
    connection = Connection(FakeEngine(), params=params, workspace=watching)
    connection.notify("initialized", {})
    async with asyncio.timeout(10):
        while not (asked := [m for m in connection.sent if m.get("method") == "client/registerCapability"]):
            await asyncio.sleep(0)
    (registration,) = asked[0]["params"]["registrations"]
    patterns = {watcher["globPattern"] for watcher in registration["registerOptions"]["watchers"]}
    assert {"**/lacuna.toml", "**/*.py", "**/*.ts", "**/*.go"} <= patterns
    connection.send({"jsonrpc": "2.0", "id": asked[0]["id"], "result": None})


def test_the_budget_follows_from_the_reading_speed_and_the_context() -> None:
    facts = ModelFacts(shows_files=True, context=2048)
    assert most_characters(facts, 50.0) == 1200
    assert most_characters(facts, 220.0) == 1320
    assert most_characters(facts, 5000.0) == 1536
    assert most_characters(ModelFacts(context=2048), 5000.0) == 0
    assert most_characters(ModelFacts(context=512, mixes_files=True), 50.0) == 6000
