"""The whole server over stdio: a document that was opened is read before the first key."""

from __future__ import annotations

from pathlib import Path

from helpers import save_tiny_model, until
from raw_client import RawClient

URI = "file:///w/a.py"
LINES = [f"value_{number} = {number}\n" for number in range(50)]


def test_the_first_answer_reads_only_what_follows_the_cursor(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "model")
    with RawClient("--model", str(model), "--log-level", "debug") as client:
        client.initialize(capabilities={"textDocument": {"inlineCompletion": {}}})
        item = {"uri": URI, "languageId": "python", "version": 1, "text": "".join(LINES)}
        client.notify("textDocument/didOpen", {"textDocument": item})
        client.notify("initialized", {})
        until(lambda: b"were read ahead" in client.stderr, 60.0)
        cursor = {"textDocument": {"uri": URI}, "position": {"line": 40, "character": 0}}
        client.call("textDocument/inlineCompletion", {**cursor, "context": {"triggerKind": 1}})
        explained = client.call("workspace/executeCommand", {"command": "lacuna.explain"})
        assert explained["result"]["counters"]["reused_tokens"] >= len("".join(LINES[:40]))
