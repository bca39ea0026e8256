"""The language server is restarted: what it kept on the disk, and what the first answer then costs."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from raw_client import RawClient

URI = "file:///w/shapes.py"
SHAPES = "".join(f"class Shape{n}:\n    def __init__(self, width):\n        self.width = width\n\n" for n in range(12))
LINE = SHAPES.count("\n")
TEXT = f"{SHAPES}class Square(Shape1):\n    def __init__(self, width):\n        self.\n\n{SHAPES}"
OPEN = {"textDocument": {"uri": URI, "languageId": "python", "version": 1, "text": TEXT}}
INLINE = {
    "textDocument": {"uri": URI},
    "position": {"line": LINE + 2, "character": 13},
    "context": {"triggerKind": 1},  # who asks for it gets the whole window, however slow the machine is
}
CAPABILITIES = {"textDocument": {"inlineCompletion": {}}}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lacuna" / "kv"


def run_server(**settings: Any) -> tuple[str, dict[str, Any]]:
    """The suggestion of a server that is started for it and shut down after it, and its counters."""
    with RawClient() as client:
        client.initialize(capabilities=CAPABILITIES, initializationOptions={"candidates": 1, **settings})
        client.notify("initialized", {})
        client.wait_for("window/logMessage", "Lacuna is ready")
        client.notify("textDocument/didOpen", OPEN)
        (item,) = client.call("textDocument/inlineCompletion", INLINE)["result"]["items"]
        explained = client.call("workspace/executeCommand", {"command": "lacuna.explain"})["result"]
        assert client.call("shutdown")["result"] is None
        client.notify("exit")
        assert client.exit_code() == 0
    return item["insertText"], explained["counters"]


def prompt_tokens_read(counters: dict[str, Any]) -> int:
    return int(counters["prompt_tokens"] - counters["reused_tokens"])


def test_the_first_answer_after_a_restart_reads_no_prompt(cache: Path) -> None:
    text, counters = run_server()
    assert prompt_tokens_read(counters) > 300
    (path,) = cache.iterdir()
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    again, counters = run_server()
    assert again == text
    assert prompt_tokens_read(counters) <= 2
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    again, counters = run_server()
    assert again == text
    assert prompt_tokens_read(counters) > 300
    command = [sys.executable, "-m", "lacuna_server", "cache", "clear"]
    cleared = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert cleared.startswith("Removed 1 file(s)")
    assert not list(cache.iterdir())


def test_without_a_budget_nothing_is_kept_and_what_was_is_removed(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "old.kv").write_bytes(b"kept before")
    run_server(kv_cache_disk_mb=0)
    assert not list(cache.iterdir())
