"""Commands, notebooks and rules over raw frames, with a scripted engine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from raw_client import RawClient

from lacuna_lab.bench import scripted

URI = "file:///project/a.py"
INVALID_PARAMS = -32602
REQUEST_FAILED = -32803


class Editor(RawClient):
    """An editor with inline completion, connected to a server whose scripted engine is warm."""

    def __init__(self, **options: object) -> None:
        super().__init__(program=scripted.__name__)
        self.initialize(capabilities={"textDocument": {"inlineCompletion": {}}}, initializationOptions=options)
        self.notify("initialized", {})
        while self.command("lacuna.status")["phase"] != "warm":
            pass

    def command(self, name: str, *arguments: object) -> Any:
        return self.executed(name, *arguments)["result"]

    def executed(self, name: str, *arguments: object) -> dict[str, Any]:
        return self.call("workspace/executeCommand", {"command": name, "arguments": list(arguments)})

    def open(self, uri: str, text: str, language: str = "python") -> None:
        item = {"uri": uri, "languageId": language, "version": 0, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def ask(self, uri: str, line: int, character: int, kind: int = 2) -> list[dict[str, Any]]:
        at = {"textDocument": {"uri": uri}, "position": {"line": line, "character": character}}
        answer = self.call("textDocument/inlineCompletion", {**at, "context": {"triggerKind": kind}})
        return list(answer["result"]["items"])


@pytest.fixture(scope="module")
def editor() -> Iterator[Editor]:
    with Editor() as found:
        yield found


def test_the_status_has_phase_model_and_mode(editor: Editor) -> None:
    assert editor.command("lacuna.status") == {
        "phase": "warm", "progress": 1.0, "message": "", "model": "fake", "mode": "automatic", "snoozed_s": 0.0,
        "out_of_step": [],
    }  # fmt: skip


def test_the_status_is_sent_to_clients_that_requested_it() -> None:
    with RawClient(program=scripted.__name__) as client:
        client.initialize(capabilities={"experimental": {"lacuna": {"status": True}}})
        client.notify("initialized", {})
        assert client.wait_for("lacuna/status", '"warm"')["params"]["snoozed_s"] == 0
        client.call("workspace/executeCommand", {"command": "lacuna.snooze", "arguments": [{"minutes": 5}]})
        assert client.wait_for("lacuna/status", '"snoozed_s": 300')
        client.notify("workspace/didChangeConfiguration", {"settings": {"lacuna": {"mode": "off"}}})
        assert client.wait_for("lacuna/status", '"off"')


def test_models_on_this_disk_with_their_sizes(editor: Editor) -> None:
    found = {model["name"]: model for model in editor.command("lacuna.models")}
    assert 5_000_000 < found["bundled"]["bytes"] < 64 * 2**20
    assert found["bundled"]["fits"] is True


def test_statistics_have_the_days_and_this_session_s_latency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with Editor() as editor:
        assert editor.command("lacuna.statistics")["latency"] == {"count": 0, "p50_ms": None, "p95_ms": None}
        editor.open(URI, "x = \n")
        asked = time.perf_counter()
        editor.ask(URI, 0, 4)
        waited_ms = (time.perf_counter() - asked) * 1000
        statistics = editor.command("lacuna.statistics")
        assert statistics["kept"] is True
        assert [day["shown"] for day in statistics["days"].values()] == [1]
        assert statistics["latency"]["count"] == 1
        assert 0 < statistics["latency"]["p50_ms"] <= waited_ms + 0.1  # rounded
    with Editor(statistics=False) as editor:
        assert editor.command("lacuna.statistics")["kept"] is False


def test_unreadable_counts_are_reported_and_left_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state/lacuna/statistics.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"2026-01-02": {"shown": Infinity}}')
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with Editor() as editor:
        editor.open(URI, "x = \n")
        (item,) = editor.ask(URI, 0, 4)
        assert editor.command(item["command"]["command"], *item["command"]["arguments"]) is True
        error = editor.executed("lacuna.statistics")["error"]
        assert (error["code"], str(file) in error["message"]) == (REQUEST_FAILED, True)
        editor.notify("workspace/didChangeConfiguration", {"settings": {"lacuna": {"max_lines": 3}}})
        assert editor.ask(URI, 0, 4)
        editor.call("shutdown")
        editor.notify("exit")
        assert editor.exit_code() == 0
    assert file.read_text() == '{"2026-01-02": {"shown": Infinity}}'


def test_an_accepted_suggestion_is_counted_once_and_its_characters_incrementally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with Editor() as editor:
        editor.open(URI, "x = \n")
        (item,) = editor.ask(URI, 0, 4)
        command = item["command"]
        (argument,) = command["arguments"]
        assert editor.command(command["command"], {**argument, "length": 2}) is True
        assert editor.command(command["command"], argument) is True
        assert editor.command(command["command"], {"id": "no such"}) is False
        (other,) = editor.ask(URI, 1, 0)
        assert editor.command("lacuna.reject", *other["command"]["arguments"]) is True
        assert editor.command("lacuna.reject", *other["command"]["arguments"]) is False
        editor.call("shutdown")
        editor.notify("exit")
        assert editor.exit_code() == 0
    (day,) = json.loads((tmp_path / "state/lacuna/statistics.json").read_text()).values()
    assert (day["shown"], day["accepted"], day["characters"]) == (2, 1, len(item["insertText"]))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("lacuna.accept", ()),
        ("lacuna.accept", ({"id": 7},)),
        ("lacuna.accept", ({"id": "1", "length": -1},)),
        ("lacuna.accept", ({"id": "1"}, {"id": "2"})),
        ("lacuna.reject", ("1",)),
        ("lacuna.status", ({"more": 1},)),
        ("lacuna.snooze", ({"minutes": "five"},)),
        ("lacuna.selectModel", ({"model": ""},)),
        ("lacuna.nothing", ()),
    ],
)
def test_wrong_arguments_and_unknown_commands_are_rejected(
    editor: Editor, name: str, arguments: tuple[object, ...]
) -> None:
    answer = editor.executed(name, *arguments)
    assert answer["error"]["code"] == INVALID_PARAMS
    assert "Traceback" not in json.dumps(answer)


def test_the_last_answer_is_explained(editor: Editor) -> None:
    uri = "file:///project/explained.py"
    editor.open(uri, "x = \nname\n")
    editor.ask(uri, 0, 4)
    shown = editor.command("lacuna.explain")
    assert (shown["suggestions"], shown["withheld"], shown["stop"], shown["cached"]) == (1, None, "end-of-hole", False)
    editor.ask(uri, 0, 4)
    assert editor.command("lacuna.explain")["cached"] is True
    assert editor.ask(uri, 1, 2) == []
    withheld = editor.command("lacuna.explain")
    assert (withheld["withheld"], withheld["reason"]) == ("inside-word", "The cursor is inside a word.")


def test_suggestions_are_snoozed_for_some_minutes(editor: Editor) -> None:
    uri = "file:///project/snoozed.py"
    editor.open(uri, "x = \n")
    assert editor.command("lacuna.snooze", {"minutes": 5})["snoozed_s"] > 0
    assert editor.ask(uri, 0, 4) == []
    assert editor.command("lacuna.explain")["withheld"] == "snoozed"
    assert editor.ask(uri, 0, 4, kind=1)
    assert editor.command("lacuna.snooze", {"minutes": 0})["snoozed_s"] == 0
    assert editor.ask(uri, 0, 4)


def test_a_restarted_engine_answers_again(editor: Editor) -> None:
    uri = "file:///project/restarted.py"
    editor.open(uri, "x = \n")
    for cached in (False, True):
        assert editor.ask(uri, 0, 4)
        assert editor.command("lacuna.explain")["cached"] is cached
    editor.command("lacuna.restartEngine")
    while editor.command("lacuna.status")["phase"] != "warm":
        pass
    assert editor.ask(uri, 0, 4)
    assert editor.command("lacuna.explain")["cached"] is False


def test_another_model_is_accepted_but_not_a_path_on_another_machine(editor: Editor) -> None:
    assert editor.executed("lacuna.selectModel", {"model": "//host/share"})["error"]["code"] == INVALID_PARAMS
    editor.notify("workspace/didChangeConfiguration", {"settings": {"lacuna": {"mode": "manual"}}})
    assert editor.command("lacuna.selectModel", {"model": "other"})["mode"] == "manual"
    editor.notify("workspace/didChangeConfiguration", {"settings": {"lacuna": {}}})


def test_rules_come_from_the_editor_s_settings() -> None:
    with Editor(languages={"toml": False}, exclude=["*_pb2.py"], mode="manual") as editor:
        for name, language, kind, reason in [
            ("a.py", "python", 2, "manual"),
            ("a.toml", "toml", 1, "language"),
            ("a_pb2.py", "python", 1, "excluded"),
            (".env", "dotenv", 1, "secret"),
        ]:
            uri = f"file:///project/{name}"
            editor.open(uri, "x = \n", language)
            assert editor.ask(uri, 0, 4, kind) == []
            assert editor.command("lacuna.explain")["withheld"] == reason
        assert editor.ask("file:///project/a.py", 0, 4, kind=1)


def test_a_cell_is_completed_in_its_notebook(editor: Editor) -> None:
    cells = [("cell:1", "import math\n"), ("cell:2", "x = "), ("cell:3", "y = 2\n")]
    notebook = {"uri": "file:///n.ipynb", "notebookType": "jupyter", "version": 1}
    editor.notify("notebookDocument/didOpen", {
        "notebookDocument": {**notebook, "cells": [{"kind": 2, "document": uri} for uri, _ in cells]},
        "cellTextDocuments": [
            {"uri": uri, "languageId": "python", "version": 1, "text": text} for uri, text in cells
        ],
    })  # fmt: skip
    assert editor.call(scripted.TEXT, {"uri": "cell:2"})["result"] == "x = "
    assert editor.ask("cell:2", 0, 4)
    change = {"range": {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 4}}, "text": "1"}
    content = {"document": {"uri": "cell:2", "version": 2}, "changes": [change]}
    editor.notify("notebookDocument/didChange", {
        "notebookDocument": {"uri": "file:///n.ipynb", "version": 2}, "change": {"cells": {"textContent": [content]}},
    })  # fmt: skip
    assert editor.call(scripted.TEXT, {"uri": "cell:2"})["result"] == "x = 1"
    editor.notify("notebookDocument/didClose", {
        "notebookDocument": {"uri": "file:///n.ipynb"}, "cellTextDocuments": [{"uri": uri} for uri, _ in cells],
    })  # fmt: skip
    assert editor.call(scripted.TEXT, {"uri": "cell:2"})["result"] is None
