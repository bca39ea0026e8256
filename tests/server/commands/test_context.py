"""`lacuna context`: what it prints, and its errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lacuna_inference.errors import BadRequest
from lacuna_server.commands import context
from lacuna_server.settings import Settings


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "lib.py").write_text("def load(number: int) -> str:\n    return str(number)\n")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "main.py").write_text("from lib import load\n\nprint(load(1))\n")
    return tmp_path


def test_excerpts_go_to_stdout_and_reasons_to_stderr(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context.run(Settings(), f"{workspace}/inner/main.py:3:12", None, 1000, as_json=False)
    shown = capsys.readouterr()
    definition, passage = (
        "def load(number: int) -> str: ...\n",
        "def load(number: int) -> str:\n    return str(number)\n",
    )
    assert shown.out == f"==> lib.py <==\n{definition}\n==> lib.py <==\n{passage}\n"
    assert "used on this line: function load (lib.py:1)\nsimilar code: lib.py\n" in shown.err


def test_json_and_another_root(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context.run(Settings(), f"{workspace}/inner/main.py:2", None, 1000, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert (shown["files"], shown["is_full"]) == (2, False)
    assert shown["related"] == [{"name": "load", "kind": "function", "path": "lib.py", "line": 1, "why": "imported"}]
    assert [len(shown[kind]) for kind in ("excerpts", "passages")] == [1, 1]
    context.run(Settings(), f"{workspace}/inner/main.py:2", workspace / "inner", 100, as_json=True)
    assert json.loads(capsys.readouterr().out)["related"] == []


def test_excluded_files_are_not_read(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context.run(Settings(exclude=("lib.py",)), f"{workspace}/inner/main.py:3", None, 1000, as_json=False)
    assert "nothing of other files" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["main.py", "main.py:x", "{}/lib.py:99", "{}/none.py:1", "{}/.git:1", "{}/a.txt:1"])
def test_places_that_are_none(workspace: Path, place: str) -> None:
    (workspace / "a.txt").write_text("text\n")
    with pytest.raises(BadRequest):
        context.run(Settings(), place.format(workspace), None, 1000, as_json=False)
