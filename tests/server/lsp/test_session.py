"""Settings of a session: which folder they come from, and that none of them ends a working engine."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from connection import Connection
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import Phase
from lacuna_inference.engine.fake import FakeEngine
from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_server import engines
from lacuna_server import settings as settings_module
from lacuna_server.core.paths import is_on_a_share
from lacuna_server.lsp.session import Session
from lacuna_server.lsp.uris import file_name, local_path, parts, uri_path
from lacuna_server.settings import Settings

IMPOSSIBLE: list[dict[str, Any]] = [
    {"devices": "0,0"},
    {"devices": " cuda:0 , 0"},
    {"devices": "0,cpu", "spread": "tensor"},
    {"devices": "cpu,cpu", "spread": "layers"},
    {"device_map": "everywhere"},
    {"max_memory": {"0": "lots"}},
    {"max_memory": {"first": "10GiB"}},
    {"quantization": "int8", "device": "cuda"},
    {"quantization": "int4", "device_map": "auto"},
    {"quantization": "int4", "forward": "transformers"},
    {"forward": "own", "max_memory": {"0": "10GiB"}},
    {"model": ""},
    {"model": "a\0b"},
    {"quick_model": "a\0b"},
    {"idle_unload_s": 1e300},
]


def session_of(examine: Any = lambda _: None) -> Session:
    """A session with a running engine; others are created from the settings."""
    session = Session(Settings(statistics=False), fake_engine, (), examine)
    session.supervisor.announced = session.engine
    return session


def fake_engine(settings: Settings) -> FakeEngine:
    engines.make(settings)
    return FakeEngine()


@pytest.mark.parametrize("values", IMPOSSIBLE)
def test_impossible_settings_leave_the_engine_and_the_settings_unchanged(values: dict[str, Any]) -> None:
    session = session_of()
    before, engine = session.settings.model_dump(), session.engine
    assert not asyncio.run(session.reconfigure({**values, "max_lines": 3}))
    assert session.settings.model_dump() == {**before, "max_lines": 3}
    assert session.engine is engine
    assert isinstance(engine, FakeEngine)
    assert not engine.closed
    assert session.engine.state.phase is Phase.WARM
    (warning,) = session.warnings
    assert warning.endswith(".")
    assert not session.configure(values)
    assert session.warnings == [warning]


@pytest.mark.parametrize("values", IMPOSSIBLE)
async def test_impossible_initialization_options_are_told_and_others_count(values: dict[str, Any]) -> None:
    connection = Connection(FakeEngine("x = 1"), params={"initializationOptions": {**values, "max_lines": 3}})
    assert "result" in connection.sent[-1]
    (warning,) = connection.server.session.warnings
    assert warning.endswith(".")
    item = {"uri": "file:///w/a.py", "languageId": "python", "version": 1, "text": "\n"}
    connection.notify("textDocument/didOpen", {"textDocument": item})
    assert await connection.ask("file:///w/a.py") == ["x = 1"]
    assert connection.server.session.settings.max_lines == 3


@pytest.mark.parametrize("values", [v for v in IMPOSSIBLE if v != {"idle_unload_s": 1e300}])
def test_an_impossible_command_line_or_file_is_a_one_line_error(values: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        settings_module.load(**values)
    assert "\n" not in str(caught.value)
    if "\0" not in str(values):
        lines = [f"{name} = {toml(value)}\n" for name, value in values.items()]
        Path("lacuna.toml").write_text("".join(lines))
        loaded, warnings = settings_module.load_leniently()
        assert (loaded.model_dump(), len(warnings)) == (Settings().model_dump(), 1)


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = "{one}"' for key, one in value.items()) + "}"
    return f'"{value}"'


def test_an_engine_that_cannot_be_created_does_not_replace_a_running_one() -> None:
    def make(settings: Settings) -> FakeEngine:
        if settings.engine_kind != "lacuna":
            raise BadRequest("No.", "Try another.")
        return FakeEngine()

    session = Session(Settings(statistics=False), make)
    engine = session.engine
    assert not session.configure({"engine_kind": "tgi", "max_lines": 3})
    assert (session.engine, session.refusals) == (engine, ["No. Try another."])
    assert (session.settings.engine_kind, session.settings.max_lines) == ("lacuna", 3)


def test_a_model_that_would_not_load_does_not_replace_a_running_one() -> None:
    session = session_of(engines.examine)
    engine = session.engine
    assert not asyncio.run(session.reconfigure({"model": "./nowhere", "max_lines": 3}))
    (refusal,) = session.refusals
    assert "no folder ./nowhere" in refusal
    assert session.engine is engine
    assert (session.settings.model, session.settings.max_lines) == ("bundled", 3)
    assert "no folder" in (asyncio.run(session.choose("model", "./elsewhere")) or "")
    assert session.engine is engine
    with pytest.raises(LacunaError):
        engines.examine(Settings(device="cuda:99"))


def test_a_model_that_loads_replaces_the_running_one() -> None:
    session = session_of(lambda _: None)
    engine = session.engine
    assert asyncio.run(session.reconfigure({"context": 256}))
    assert session.engine is not engine
    assert session.supervisor.retired == [engine]


async def test_the_user_is_notified_that_the_model_is_unchanged() -> None:
    connection = Connection(FakeEngine())
    session = connection.server.session
    session.supervisor.announced, session.supervisor.validate = session.engine, engines.examine
    connection.notify("workspace/didChangeConfiguration", {"settings": {"lacuna": {"model": "./nowhere"}}})
    shown = await connection.shown()
    assert "no folder ./nowhere" in shown
    assert shown.endswith("The model stays as it was.")
    assert (await connection.call("workspace/executeCommand", {"command": "lacuna.status"}))["result"][
        "phase"
    ] == "warm"


def folder_with(path: Path, text: str) -> str:
    path.mkdir(exist_ok=True)
    (path / "lacuna.toml").write_text(text)
    return path.as_uri()


def workspace(*uris: str, **capabilities: Any) -> Connection:
    folders = [{"uri": uri, "name": "folder"} for uri in uris]
    return Connection(FakeEngine("x = 1"), params={"rootUri": None, "workspaceFolders": folders}, **capabilities)


async def test_the_workspace_s_file_counts_and_not_that_of_the_working_directory(tmp_path: Path) -> None:
    Path("lacuna.toml").write_text("max_lines = 3\nmax_lintes = 1\n")
    uri = folder_with(tmp_path / "a b", "\ufeffmax_tokens = 8\n")
    for params in ({"rootUri": uri}, {"rootPath": str(tmp_path / "a b")}, {"workspaceFolders": [{"uri": uri}]}):
        session = Connection(FakeEngine(), params=params).server.session
        assert (session.settings.max_tokens, session.settings.max_lines, session.warnings) == (8, 12, [])
    session = Connection(FakeEngine()).server.session
    assert (session.settings.max_lines, len(session.warnings)) == (3, 1)


async def test_errors_in_the_file_are_reported_when_the_server_starts_in_the_folder() -> None:
    uri = folder_with(Path.cwd(), "max_lintes = 1\n")
    session = Connection(FakeEngine(), params={"rootUri": uri}).server.session
    (warning,) = session.warnings
    assert "max_lintes" in warning


async def test_each_folder_has_a_separate_file_for_its_documents(tmp_path: Path) -> None:
    first = folder_with(tmp_path / "a", 'exclude = ["*_pb2.py"]\n')
    second = folder_with(tmp_path / "a/b", 'mode = "off"\nmodel = "./evil"\n')
    connection = workspace(first, second)
    expected = {f"{first}/x.py": None, f"{first}/x_pb2.py": "excluded", f"{second}/x.py": "off", "untitled:1": None}
    for uri, reason in expected.items():
        item = {"uri": uri, "languageId": "python", "version": 1, "text": "\ny = 1\n"}
        connection.notify("textDocument/didOpen", {"textDocument": item})
        assert bool(await connection.ask(uri)) == (reason is None)
        assert await connection.reason() == reason
    session = connection.server.session
    assert session.settings.model == "bundled"
    (warning,) = session.warnings
    assert "first folder only" in warning
    folders = {"event": {"added": [], "removed": [{"uri": second, "name": "b"}]}}
    connection.notify("workspace/didChangeWorkspaceFolders", folders)
    await asyncio.sleep(0)
    assert await connection.ask(f"{second}/x.py")


@pytest.mark.parametrize("method", ["workspace/didChangeWatchedFiles", "textDocument/didSave"])
async def test_a_changed_file_is_read_again(tmp_path: Path, method: str) -> None:
    uri = folder_with(tmp_path, "max_lines = 3\n")
    connection = workspace(uri)
    session = connection.server.session
    for number in (4, 5):
        folder_with(tmp_path, f"max_lines = {number}\n")
        os.utime(tmp_path / "lacuna.toml", ns=(number, number))
        params = {"changes": [{"uri": f"{uri}/lacuna.toml", "type": 2}], "textDocument": {"uri": f"{uri}/x.py"}}
        connection.notify(method, params)
        while session.settings.max_lines != number:
            await asyncio.sleep(0)


async def test_no_file_is_read_from_untrusted_folders(tmp_path: Path) -> None:
    uri = folder_with(tmp_path / "a", "max_lines = 3\n")
    connection = workspace(uri, experimental={"lacuna": {"trustsFolders": False}})
    assert connection.server.session.settings.max_lines == 12
    folders = {"event": {"added": [{"uri": uri, "name": "a"}], "removed": []}}
    connection.notify("workspace/didChangeWorkspaceFolders", folders)
    connection.notify("textDocument/didSave", {"textDocument": {"uri": f"{uri}/lacuna.toml"}})
    await asyncio.sleep(0)
    await connection.call("workspace/executeCommand", {"command": "lacuna.status"})
    assert connection.server.session.settings.max_lines == 12


async def test_a_capable_client_is_asked_to_watch_the_file() -> None:
    connection = Connection(FakeEngine(), workspace={"didChangeWatchedFiles": {"dynamicRegistration": True}})
    connection.notify("initialized", {})
    while not (requests := [m for m in connection.sent if m.get("method") == "client/registerCapability"]):
        await asyncio.sleep(0)
    (registration,) = requests[0]["params"]["registrations"]
    assert registration["registerOptions"]["watchers"][0]["globPattern"] == "**/lacuna.toml"
    connection.send({"jsonrpc": "2.0", "id": requests[0]["id"], "result": None})
    await asyncio.sleep(0)


SHARES = [
    "\\\\evil\\share",
    "//evil/share",
    "\\/evil/share",
    "/\\evil/share",
    " //evil/share",
    "\\\\?\\UNC\\evil\\share",
    "\\??\\UNC\\evil\\share",
]


@pytest.mark.parametrize("path", SHARES)
def test_a_folder_s_settings_cannot_name_a_network_share_in_any_spelling(path: str) -> None:
    assert is_on_a_share(path)
    changed, (warning,) = Settings().changed({"model": path})
    assert changed.model == "bundled"
    assert "only on the command line" in warning


@pytest.mark.parametrize("uri", ["file://evil/share", "file:////evil/share", "file:///%5C%5Cevil/x", "file:%2F/evil/x"])
def test_no_settings_are_read_from_a_network_share(uri: str) -> None:
    assert local_path(uri) is None


@given(st.one_of(st.text(), st.builds("{}:{}//{}{}".format, *[st.text("[]:/\\%@?#é\ud800\n.a", max_size=6)] * 4)))
def test_any_string_is_accepted_as_a_uri(uri: str) -> None:
    assert isinstance(uri_path(uri), str)
    assert file_name(uri) is None or file_name(uri)
    assert parts(uri).scheme == parts(uri).scheme.lower()
    local_path(uri)


async def test_a_document_with_an_odd_uri_silences_no_other() -> None:
    connection = Connection(FakeEngine("x = 1"))
    for uri in ("scratch://[Scratch]/b.py", "http://[::1", "//[", "", ":", "file://[x]/a.py", "\ud800://x"):
        for name in (uri, "file:///w/a.py"):
            item = {"uri": name, "languageId": "python", "version": 1, "text": "\ny = 1\n"}
            connection.notify("textDocument/didOpen", {"textDocument": item})
            assert await connection.ask(name) == ["x = 1"]
