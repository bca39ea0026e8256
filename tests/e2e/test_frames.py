"""Ten thousand frames that no editor should send: no crash or hang, every id answered, nothing else on stdout."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from raw_client import RawClient
from wild import mutated, scrambled

from lacuna_lab.bench import scripted

FRAMES, BATCH = 10_000, 200
URI = "file:///fuzz/a.py"
AT = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 1}}
ITEM = {"uri": URI, "languageId": "python", "version": 1, "text": "x = 1\n"}
SPAN = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 1}}
CELL = {"kind": 2, "document": "cell:1"}
NOTEBOOK = {"uri": "file:///n.ipynb", "notebookType": "jupyter", "version": 1, "cells": [CELL]}
REQUESTS: list[tuple[str, Any]] = [
    ("textDocument/inlineCompletion", {**AT, "context": {"triggerKind": 2}}),
    ("textDocument/inlineCompletion", {
        **AT, "context": {"triggerKind": 1, "selectedCompletionInfo": {"range": SPAN, "text": "print"}},
    }),
    ("textDocument/completion", {**AT, "context": {"triggerKind": 1}}),
    ("workspace/executeCommand", {"command": "lacuna.explain", "arguments": []}),
    ("workspace/executeCommand", {"command": "lacuna.accept", "arguments": [{"id": "1", "length": 3}]}),
    ("workspace/executeCommand", {"command": "lacuna.status"}),
    ("textDocument/hover", AT),
    ("initialize", {"processId": None, "rootUri": None, "capabilities": {}}),
]  # fmt: skip
NOTIFICATIONS: list[tuple[str, Any]] = [
    ("textDocument/didOpen", {"textDocument": ITEM}),
    ("textDocument/didChange", {
        "textDocument": {"uri": URI, "version": 2}, "contentChanges": [{"range": SPAN, "text": "y"}],
    }),
    ("textDocument/didClose", {"textDocument": {"uri": URI}}),
    ("notebookDocument/didOpen", {"notebookDocument": NOTEBOOK, "cellTextDocuments": [{**ITEM, "uri": "cell:1"}]}),
    ("notebookDocument/didChange", {
        "notebookDocument": {"uri": "file:///n.ipynb", "version": 2},
        "change": {"cells": {"structure": {"array": {"start": 0, "deleteCount": 1, "cells": [CELL]}}}},
    }),
    ("notebookDocument/didClose", {
        "notebookDocument": {"uri": "file:///n.ipynb"}, "cellTextDocuments": [{"uri": "cell:1"}],
    }),
    ("workspace/didChangeConfiguration", {"settings": {"lacuna": {"max_tokens": 5}}}),
    ("$/cancelRequest", {"id": 1}),
    ("$/setTrace", {"value": "verbose"}),
    ("no/such", {"a": 1}),
]  # fmt: skip


@pytest.fixture
def client() -> Any:
    with RawClient(program=scripted.__name__) as found:
        found.initialize(capabilities={"textDocument": {"inlineCompletion": {}}})
        found.notify("initialized", {})
        yield found


def test_mutated_frames(client: RawClient) -> None:
    rng = random.Random(7)
    for first in range(0, FRAMES, BATCH):
        asked = set()
        for number in range(first, first + BATCH):
            method, params = rng.choice(REQUESTS if number % 2 else NOTIFICATIONS)
            message = {"jsonrpc": "2.0", "method": method, "params": mutated(params, rng)}
            if number % 2:
                message["id"] = f"n{number}" if number % 4 == 1 else 1_000_000 + number
            if rng.random() < 0.1:
                client.send(scrambled(json.dumps(message).encode(), rng))
            else:
                client.send(message)
                asked |= {message["id"]} if "id" in message else set()
        answered = []
        last = client.request("workspace/executeCommand", {"command": "lacuna.status"})
        while True:
            message = client.messages.get(timeout=60)
            assert message is not None, client.stderr.decode()[-2000:]
            assert message["jsonrpc"] == "2.0"
            if "method" not in message:
                answered.append(message.get("id"))
            if last in answered and asked <= set(answered):
                break
        assert all(answered.count(identity) == 1 for identity in asked)
    client.call("shutdown")
    client.notify("exit")
    assert client.exit_code() == 0


@pytest.mark.parametrize(
    "stray",
    [
        b"hello there\r\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\n",
        b"X-Other: 1\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"\x00\xff\xfe\r\n",
        b"Content-Length: nothing\r\n\r\n",
        b"Content-Length: 0\r\n\r\n",
        b"Content-Length: 2\r\n\r\n[]",
        b"Content-Length: 4\r\n\r\n\xff\xff\xff\xff",
    ],
)
def test_stray_bytes_between_frames_are_skipped(client: RawClient, stray: bytes) -> None:
    assert client.process.stdin is not None
    client.process.stdin.write(stray)
    client.process.stdin.flush()
    assert "result" in client.call("workspace/executeCommand", {"command": "lacuna.status"})


def test_a_huge_document_is_accepted_but_not_completed(client: RawClient) -> None:
    text = "x = 1  # 漢字\n" * 400_000
    client.notify("textDocument/didOpen", {"textDocument": {**ITEM, "text": text}})
    answer = client.call("textDocument/inlineCompletion", {**AT, "context": {"triggerKind": 2}})
    assert answer["result"]["items"] == []
    explained = client.call("workspace/executeCommand", {"command": "lacuna.explain"})["result"]
    assert explained["withheld"] == "too-large"


def test_the_server_ends_when_the_pipe_is_half_closed(client: RawClient) -> None:
    client.request("textDocument/inlineCompletion", {**AT, "context": {"triggerKind": 2}})
    client.close_input()
    assert client.exit_code() in (0, 1)
