"""A home for each editor, and a `lacuna` in it that follows a script."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_report_header() -> str:
    from installed import versions

    return f"editors: {versions()}"


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    return scripted(tmp_path / "home")


@pytest.fixture(scope="module")
def lasting_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for an editor that all tests of a module share."""
    return tmp_path_factory.mktemp("home")


def scripted(home: Path) -> dict[str, str]:
    """An environment with a home of its own, whose `lacuna` is the scripted server."""
    shim = home / "bin/lacuna"
    shim.parent.mkdir(parents=True)
    server = Path(__file__).with_name("scripted_server.py")
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -P {server} "$@" 2>>{home}/server.log\n')
    shim.chmod(0o755)
    return {
        "HOME": str(home),
        "PATH": f"{shim.parent}:{os.environ['PATH']}",
        "LACUNA_TEST_CLIENT": str(home / "client.json"),
        "XDG_STATE_HOME": str(home / "state"),
    }
