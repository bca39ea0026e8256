"""The packaged extension in VS Code: the bundled model, the status and its menu, and what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from installed import scripted
from scripted_server import SUGGESTIONS
from serving import Process
from test_vscode import opened
from workbench import Workbench, workbench

if TYPE_CHECKING:
    from playwright.sync_api import Playwright

LACUNA = Path(sys.executable).with_name("lacuna")
PYTHON = Path(__file__).with_name("python_extension")
LOGGER = "import logging\n\n"
ADD = "def add(a, b):"
ENDED = ("The server stopped.", "Starting", "Stopped")
"""The status between two servers."""
HOSTILE = "import pathlib\npathlib.Path({mark!r}).touch()\nraise SystemExit\n"
NOTEBOOK = {
    "cells": [{"cell_type": "code", "metadata": {}, "source": [], "outputs": [], "execution_count": None}],
    "metadata": {"language_info": {"name": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@pytest.fixture(scope="module")
def bundled(driver: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """The bundled model, in a folder whose modules have the names of those that the server imports."""
    home = tmp_path_factory.mktemp("bundled")
    folder = home / "workspace"
    folder.mkdir()
    (folder / "a.py").write_text(LOGGER)
    for name in ("json.py", "torch.py", "lacuna_server.py"):
        (folder / name).write_text(HOSTILE.format(mark=str(home / "mark")))
    with workbench(driver, home, surroundings(home), {"lacuna.path": str(LACUNA)}) as found:
        yield found


@pytest.fixture(scope="module")
def code(driver: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A scripted model."""
    home = tmp_path_factory.mktemp("scripted")
    around = scripted(home)
    folder = home / "workspace"
    folder.mkdir()
    for name in ("word", "line", "killed", "snoozed"):
        (folder / f"{name}.py").touch()
    (folder / "cells.ipynb").write_text(json.dumps(NOTEBOOK))
    with workbench(driver, home, around | state(home), {"lacuna.path": f"{home}/bin/lacuna"}) as found:
        yield found


def test_the_bundled_model_completes(bundled: Workbench) -> None:
    bundled.open("a.py")
    bundled.until_status("Ready")
    bundled.type("logger = logging.")
    suggestion = bundled.until_grey_text()
    bundled.accept()
    bundled.save()
    assert (bundled.folder / "a.py").read_text() == f"{LOGGER}logger = logging.{suggestion}"
    assert suggestion.startswith("getLogger(__name__)")


def test_modules_of_the_folder_are_never_run(bundled: Workbench) -> None:
    bundled.until_status("Ready")
    assert not (bundled.folder.parent / "mark").exists()


def test_models_are_listed_with_their_size_and_whether_they_fit(bundled: Workbench) -> None:
    bundled.run("Lacuna: Choose Model")
    row = bundled.page.locator('.quick-input-list .monaco-list-row:has-text("bundled")').first
    row.wait_for()
    assert "MiB" in row.inner_text()
    assert "It fits." in row.inner_text()
    bundled.page.keyboard.press("Escape")


@pytest.mark.parametrize(
    ("name", "key", "accepted"),
    [
        ("word", "Control+ArrowRight", ["\n    ", "total"]),
        ("line", "Control+Alt+ArrowRight", ["\n", "    total = a + b\n"]),
    ],
)
def test_parts_are_accepted_and_counted(name: str, key: str, accepted: list[str], code: Workbench) -> None:
    begin(code, f"{name}.py")
    before = counted(code)
    code.focus()
    code.type(ADD)
    code.until_grey_text()
    file = code.folder / f"{name}.py"
    for number in range(len(accepted)):
        text = ADD + "".join(accepted[: number + 1])
        code.page.keyboard.press(key)
        code.until(lambda text=text: typed(code, file) == text, f"{text!r}")  # type: ignore[misc]
    code.page.keyboard.press("Escape")
    after = counted(code)
    assert after["accepted"] == before["accepted"] + 1
    assert after["characters"] == before["characters"] + len("".join(accepted))


def test_a_cell_of_a_notebook(code: Workbench) -> None:
    page = code.page
    page.keyboard.press("Control+P")
    page.wait_for_selector(".quick-input-widget input", state="visible")
    page.keyboard.type("cells.ipynb")
    page.wait_for_selector('.quick-input-list .monaco-list-row:has-text("cells.ipynb")')
    page.keyboard.press("Enter")
    page.wait_for_selector(".notebook-editor .cell .monaco-editor .view-lines")
    code.until(lambda: "cells.ipynb#" in noted(code, "opened"), "the client")
    code.until_status("Ready")
    page.click(".notebook-editor .cell .monaco-editor .view-lines")
    code.type(ADD)
    code.until_grey_text()
    code.accept()
    code.save()
    (cell,) = json.loads((code.folder / "cells.ipynb").read_text())["cells"]
    assert "".join(cell["source"]) == ADD + SUGGESTIONS[ADD]


def test_a_document_without_a_file(code: Workbench) -> None:
    code.run("File: New Untitled Text File")
    code.page.wait_for_selector('.tab.active:has-text("Untitled")')
    code.run("Change Language Mode")
    code.page.keyboard.type("Python")
    code.page.wait_for_selector('.quick-input-list .monaco-list-row.focused:has-text("Python")')
    code.page.keyboard.press("Enter")
    code.until(lambda: "untitled:" in noted(code, "opened"), "the client")
    code.focus()
    code.type(ADD)
    assert SUGGESTIONS[ADD].strip().split("\n")[0] in code.until_grey_text()
    code.accept()
    code.until(lambda: code.page.locator('.view-line:has-text("return")').count() > 0, "the accepted text")


def test_snoozed_explained_and_awake_again(code: Workbench) -> None:
    begin(code, "snoozed.py")
    code.page.click('.statusbar-item[id*="lacuna"] a')
    code.pick("Snooze for 5 minutes")
    code.until_status("Snoozed for 5 min")
    code.focus()
    code.type(ADD)
    code.until(lambda: f"snoozed.py:0:{len(ADD)}" in noted(code, "asked"), "a request")
    code.run("Lacuna: Why Did Nothing Appear?")
    code.shown_in_webview("text=Suggestions are snoozed for a few minutes.")
    code.close()
    code.page.click('.statusbar-item[id*="lacuna"] a')
    code.pick("Wake up")
    code.until_status("Ready")
    code.focus()
    code.page.keyboard.press("Backspace")
    code.type(":")
    code.until_grey_text()
    code.page.keyboard.press("Escape")


def test_a_server_that_is_killed_starts_again(code: Workbench) -> None:
    begin(code, "killed.py")
    (former,) = servers(code)
    until_another(code, lambda: os.kill(former, signal.SIGKILL))
    assert code.page.locator(".notification-toast").count() == 0
    until_another(code, lambda: code.run("Lacuna: Restart Server"))
    code.focus()
    code.type(ADD)
    code.until_grey_text()
    code.accept()
    code.save()
    assert (code.folder / "killed.py").read_text() == ADD + SUGGESTIONS[ADD]


def test_another_interpreter_starts_another_server(driver: Playwright, tmp_path: Path) -> None:
    around = scripted(tmp_path)
    interpreters = [environment(tmp_path / name) for name in ("one", "two")]
    around["LACUNA_TEST_INTERPRETERS"] = os.pathsep.join(map(str, interpreters))
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/a.py").touch()
    with workbench(driver, tmp_path, around | state(tmp_path), {}, others=[PYTHON]) as code:
        code.open("a.py")
        code.until_status("Ready")
        assert environments(code) == ["one"]
        until_another(code, lambda: code.run("Choose the Next Interpreter"))
        assert environments(code) == ["two"]
        code.focus()
        code.type(ADD)
        code.until_grey_text()


def test_a_server_that_is_missing_is_an_error_with_a_remedy(driver: Playwright, tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/a.py").touch()
    with workbench(driver, tmp_path, surroundings(tmp_path), {"lacuna.path": "/no/such/lacuna"}) as found:
        found.open("a.py")
        found.until_status("there is no such program")
        buttons = found.page.locator(".notification-toast .monaco-button")
        buttons.first.wait_for()
        assert [button.strip() for button in buttons.all_inner_texts()] == ["Install", "Set the path", "Log"]


def test_a_remote_engine_with_the_interface_in_chinese(driver: Playwright, tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/a.py").write_text(LOGGER)
    with Process(tmp_path / "log") as remote:
        settings = {"lacuna.path": str(LACUNA), "lacuna.engine.url": remote.url}
        with workbench(driver, tmp_path, surroundings(tmp_path), settings, "zh-cn") as found:
            found.open("a.py")
            found.until_status("就绪")
            found.type("logger = logging.")
            assert found.until_grey_text().startswith("getLogger")
            found.page.click('.statusbar-item[id*="lacuna"] a')
            found.page.wait_for_selector('.quick-input-list .monaco-list-row:has-text("暂停 5 分钟")')
        assert "POST /lacuna/answer 200" in remote.log_text


def begin(code: Workbench, name: str) -> None:
    """Opens an empty file, and waits until the server knows it."""
    code.open(name)
    code.until(lambda: opened(code.folder.parent, name), "the client")
    code.until_status("Ready")


def typed(code: Workbench, file: Path) -> str:
    """The current content of the file."""
    code.page.keyboard.press("Control+S")
    return file.read_text()


def noted(code: Workbench, what: str) -> str:
    """What the scripted server has recorded."""
    file = code.folder.parent / what
    return file.read_text() if file.exists() else ""


def counted(code: Workbench) -> dict[str, int]:
    """What the server has counted so far. It writes that when it is asked for the statistics."""
    code.run("Lacuna: Show Statistics")
    code.shown_in_webview("table")
    code.close()
    files = list((code.folder.parent / "state").rglob("statistics.json"))
    days = json.loads(files[0].read_text()).values() if files else []
    return {name: sum(day[name] for day in days) for name in ("shown", "accepted", "characters")}


def servers(code: Workbench) -> list[int]:
    """The language servers of this workbench."""
    mark = str(code.folder.parent)
    found = (process.info for process in psutil.process_iter(["pid", "cmdline", "environ"]))
    return [
        process["pid"]
        for process in found
        if "lsp" in (process["cmdline"] or ()) and (process["environ"] or {}).get("HOME") == mark
    ]


def environment(folder: Path) -> Path:
    """An environment with a distinguishable server; returns its interpreter."""
    (folder / "bin").mkdir(parents=True)
    server = folder / "bin/lacuna"
    server.write_text(f'#!/bin/sh\nLACUNA_TEST_ENVIRONMENT={folder.name} exec {folder.parent}/bin/lacuna "$@"\n')
    server.chmod(0o755)
    return folder / "bin/python"


def environments(code: Workbench) -> list[str]:
    """The environments of the running servers."""
    return [psutil.Process(server).environ().get("LACUNA_TEST_ENVIRONMENT", "") for server in servers(code)]


def until_another(code: Workbench, end: Callable[[], None]) -> None:
    """Ends the server, and waits for another one that is ready.

    The status lags behind the server: until it has shown the end, "Ready" may be the former server's.
    """
    (former,) = servers(code)
    statuses = code.watch_status()
    end()
    code.until(lambda: bool(servers(code)) and former not in servers(code), "a new server")
    code.until(lambda: any(status in text for text in statuses() for status in ENDED), "a status that tells of the end")
    code.until_status("Ready")


def surroundings(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home)} | state(home)


def state(home: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(home / "state")}
