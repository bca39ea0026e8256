"""Where the editors are, and which versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs/editors"
PATH = f"{ROOT}/.editors/bin:{os.environ['PATH']}"
"""`make editors` puts the editors there."""
CODE = ROOT / ".editors/code/node_modules/code-server/lib/vscode"
NAMES = ("nvim", "nvim-0.11", "emacs", "emacs30", "hx", "kate", "chromium")


def editor(name: str) -> str:
    """The program called `name`; the test is skipped without it."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed: make editors")
    return found


def program(name: str) -> Path:
    """The program `name` of the tests' own environment; the test is skipped without it."""
    found = Path(sys.executable).with_name(name)
    if not found.exists():
        pytest.skip(f"{name} is not installed: make editors")
    return found


def versions() -> str:
    """The installed editors with their versions."""
    found = [path for name in NAMES if (path := shutil.which(name, path=PATH))]
    shown = [_version(path) for path in found]
    if CODE.exists():
        shown.append(f"VS Code {json.loads((CODE / 'package.json').read_text())['version']}")
    return ", ".join(shown) or "none"


def set_up_kate(home: Path, programs: Path) -> None:
    """Lacuna's setup, its plugin enabled, and the answer to whether the server in `programs` may be started."""
    settings = home / ".config/kate/lspclient/settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_bytes((DOCS / "kate-settings.json").read_bytes())
    command = json.loads(settings.read_bytes())["servers"]["python"]["command"]
    (home / ".config/katerc").write_text(f"[lspclient]\nAllowedServerCommandLines={programs}/{' '.join(command)}\n")
    session = home / ".local/share/kate/anonymous.katesession"
    session.parent.mkdir(parents=True)
    session.write_text("[Kate Plugins]\nlspclientplugin=true\n")


def scripted(home: Path) -> dict[str, str]:
    """An environment with a home of its own, whose `lacuna` is the scripted server; pylsp and rass are real."""
    folder = home / "bin"
    folder.mkdir(parents=True)
    server, here = Path(__file__).with_name("scripted_server.py"), Path(sys.executable).parent
    commands = {
        "lacuna": f'{sys.executable} -P {server} "$@" 2>>{home}/server.log',
        "pylsp": f'{here}/pylsp -vv --log-file {home}/pylsp.log "$@"',
        "rass": f'{here}/rass "$@"',
    }
    for name, command in commands.items():
        (folder / name).write_text(f"#!/bin/sh\nexec {command}\n")
        (folder / name).chmod(0o755)
    return {
        "HOME": str(home),
        "PATH": f"{folder}:{os.environ['PATH']}",
        "LACUNA_TEST_CLIENT": str(home / "client.json"),
        "XDG_STATE_HOME": str(home / "state"),
    }


def _version(path: str) -> str:
    surroundings = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    result = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, env=surroundings)
    return result.stdout.partition("\n")[0].strip()


if __name__ == "__main__":
    sys.stdout.write(versions() + "\n")
