"""VS Code with the extension: grey text of several lines appears, is accepted, saved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from installed import scripted
from scripted_server import SUGGESTIONS
from test_editors import CASES
from workbench import Workbench, workbench

if TYPE_CHECKING:
    from playwright.sync_api import Playwright


@pytest.fixture(scope="module")
def code(driver: Playwright, lasting_home: Path) -> Iterator[Workbench]:
    """With all files, because nothing watches the folder: its watcher is not installed."""
    surroundings = scripted(lasting_home)
    (lasting_home / "workspace").mkdir()
    for name, (before, _, end) in CASES.items():
        (lasting_home / f"workspace/{name}.py").write_bytes(before.replace("\n", end).encode())
    with workbench(driver, lasting_home, surroundings, {"lacuna.path": f"{lasting_home}/bin/lacuna"}) as opened:
        yield opened


@pytest.mark.parametrize("case", CASES)
def test_grey_text(case: str, code: Workbench, lasting_home: Path) -> None:
    before, typed, end = CASES[case]
    file = code.folder / f"{case}.py"
    code.open(file.name)
    code.until(lambda: opened(lasting_home, file.name), "the client")
    code.type(typed)
    assert SUGGESTIONS[typed].strip().split("\n")[0] in code.until_grey_text()
    code.accept()
    code.save()
    assert file.read_bytes() == (before + typed + SUGGESTIONS[typed]).replace("\n", end).encode()


def test_the_client_s_capabilities(code: Workbench, lasting_home: Path) -> None:
    recorded = json.loads((lasting_home / "client.json").read_text())
    assert "inlineCompletion" in recorded["capabilities"]["textDocument"]


def opened(home: Path, name: str) -> bool:
    """Whether the client has opened the file on the server."""
    recorded = home / "opened"
    return recorded.exists() and any(uri.endswith(f"/{name}") for uri in recorded.read_text().split())
