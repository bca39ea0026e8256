"""Messages at the edge of the protocol: headers, errors, unknown capabilities."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import Any

import pytest
from connection import Connection, texts_of
from helpers import loaded, scripted_decoder

from lacuna_inference.api import EngineState, ModelFacts, ModelOptions, Phase
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.engine.fake import FakeEngine
from lacuna_server.lsp import transport

STATUS = {"jsonrpc": "2.0", "id": 1, "method": "workspace/executeCommand", "params": {"command": "lacuna.status"}}
INVALID_REQUEST, INVALID_PARAMS, PARSE_ERROR = -32600, -32602, -32700
URI = "file:///w/a.py"


@pytest.mark.parametrize(
    "header",
    [
        b"content-length: %d\r\n\r\n",
        b"CONTENT-LENGTH: %d\r\n\r\n",
        b"Content-Length:%d\r\n\r\n",
        b"Content-Length:  %d  \r\n\r\n",
        b"Content-Length : %d\r\n\r\n",
        b"Content-Length: %d\n\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\ncontent-length: %d\r\n\r\n",
        b"content-length: %d\r\nContent-Type: application/vscode-jsonrpc; charset=utf8\r\n\r\n",
    ],
)
async def test_a_header_is_read_in_any_spelling(header: bytes) -> None:
    connection = Connection(FakeEngine())
    body = json.dumps(STATUS).encode()
    stream = io.BytesIO(header % len(body) + body)
    await asyncio.wait_for(transport._serve_stream(connection.server, stream), 10)
    while not any(message.get("id") == 1 for message in connection.sent):
        await asyncio.sleep(0)


async def test_an_oversized_body_ends_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    connection = Connection(FakeEngine())
    stream = io.BytesIO(b"Content-Length: 99999999999\r\n\r\n{}")
    await asyncio.wait_for(transport._serve_stream(connection.server, stream), 10)
    assert "not a message" in caplog.text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"this is no JSON", PARSE_ERROR),
        (b"\xff\xfe", PARSE_ERROR),
        (b'{"a":' + b"[" * 200_000, PARSE_ERROR),
        (b"1" * 5000, PARSE_ERROR),
        (b"[1, 2]", INVALID_REQUEST),
        (b"7", INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": null, "method": ["x"]}', INVALID_REQUEST),
    ],
)
async def test_an_error_without_a_known_id_has_a_null_id(body: bytes, code: int) -> None:
    connection = Connection(FakeEngine())
    connection.sent.clear()
    connection.send(body)
    (answer,) = connection.sent
    assert "id" in answer
    assert (answer["id"], answer["error"]["code"]) == (None, code)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("lacuna.accept", [{"id": 7}]), ("lacuna.snooze", [{"minutes": "five"}]), ("lacuna.none", []), (None, []),
     ("lacuna.status", 7)],
)  # fmt: skip
async def test_wrong_arguments_are_an_error_without_a_traceback(
    name: str | None, arguments: Any, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("pygls").setLevel(logging.CRITICAL)  # as in `lacuna lsp`
    connection = Connection(FakeEngine())
    answer = await connection.call("workspace/executeCommand", {"command": name, "arguments": arguments})
    assert answer["error"]["code"] == INVALID_PARAMS
    assert "Traceback" not in caplog.text + str(answer)


@pytest.mark.parametrize(
    ("context", "invoked"),
    [
        ({"triggerKind": 0}, True),
        ({"triggerKind": 1}, True),
        ({"triggerKind": 2}, False),
        ({"triggerKind": 3}, False),
        ({"triggerKind": None}, False),
        ({"triggerKind": "x", "selectedCompletionInfo": 7}, False),
        ({}, False),
        (None, False),
        ([], False),
    ],
)
async def test_an_unknown_trigger_is_an_automatic_request(context: Any, invoked: bool) -> None:
    connection = Connection(FakeEngine("x = 1"), params={"initializationOptions": {"mode": "manual"}})
    item = {"uri": URI, "languageId": "python", "version": 1, "text": "\n"}
    connection.notify("textDocument/didOpen", {"textDocument": item})
    assert await connection.ask(URI, context=context) == (["x = 1"] if invoked else [])
    params = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 2**31}, "context": context}
    for method in ("textDocument/inlineCompletion", "textDocument/completion"):
        assert "result" in await connection.call(method, params)
    params.pop("context")
    assert "result" in await connection.call("textDocument/inlineCompletion", params)


async def test_invalid_fields_of_a_request_are_named() -> None:
    connection = Connection(FakeEngine())
    params = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": "one"}}
    error = (await connection.call("textDocument/inlineCompletion", params))["error"]
    assert error["code"] == INVALID_PARAMS
    assert "$.params.position" in error["message"]


STRANGE = {
    "workspace": {
        "symbol": {"symbolKind": {"valueSet": [*range(1, 28)]}, "tagSupport": {"valueSet": [1, 2]}},
        "workspaceEdit": {"failureHandling": "foo", "resourceOperations": ["create", "teleport"]},
        "configuration": False,
    },
    "textDocument": {
        "inlineCompletion": {"dynamicRegistration": True},
        "completion": {
            "completionItem": {"tagSupport": {"valueSet": [1, 9]}, "insertTextModeSupport": {"valueSet": [1, 7]},
                               "documentationFormat": ["asciidoc", "markdown"], "snippetSupport": True},
            "completionItemKind": {"valueSet": [*range(1, 40)]},
        },
        "publishDiagnostics": {"tagSupport": {"valueSet": ["x"]}},
        "foldingRange": {"foldingRangeKind": {"valueSet": 7}},
        "semanticTokens": None,
    },
    "general": {"positionEncodings": ["utf-128", "utf-8"], "markdown": 7, "regularExpressions": []},
    "notebookDocument": {"synchronization": {"executionSummarySupport": 7}},
    "window": {"showMessage": {"messageActionItem": []}, "workDoneProgress": False},
    "experimental": [1],
    "later": {"than": "3.18"},
}  # fmt: skip


def initialized(**params: Any) -> dict[str, Any]:
    connection = Connection(FakeEngine(), params=params)
    (answer,) = (message for message in connection.sent if message.get("id") == 0)
    return answer


async def test_unknown_capabilities_are_ignored() -> None:
    provided = initialized(capabilities=STRANGE, trace="loud", clientInfo={"name": 7})["result"]["capabilities"]
    assert provided["positionEncoding"] == "utf-8"
    assert "inlineCompletionProvider" in provided
    assert "notebookDocumentSync" in provided
    assert "completionProvider" not in provided


@pytest.mark.parametrize("left_out", [{"capabilities": None}, {"processId": 7.0}, {"rootUri": "http://[x"}])
async def test_fields_may_be_missing_in_initialize(left_out: dict[str, Any]) -> None:
    assert "result" in initialized(**left_out, initializationOptions=[7])


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"processId": "me"}, "processId"),
        ({"rootUri": 7}, "rootUri"),
        ({"workspaceFolders": "x"}, "workspaceFolders"),
        ({"capabilities": []}, "capabilities"),
        ({"capabilities": {"general": {"positionEncodings": "utf-8"}}}, "positionEncodings"),
    ],
)
async def test_invalid_fields_of_initialize_are_named(params: dict[str, Any], named: str) -> None:
    error = initialized(**params)["error"]
    assert error["code"] == INVALID_PARAMS
    assert named in error["message"]


async def test_more_tokens_than_there_is_room_for_are_limited_and_told_once() -> None:
    engine = ModelEngine(ModelOptions("scripted"), lambda _: loaded(scripted_decoder("x = 1")))
    connection = Connection(engine, params={"initializationOptions": {"max_tokens": 500}})
    item = {"uri": URI, "languageId": "python", "version": 1, "text": "\n" + "y = 2\n" * 400}
    connection.notify("textDocument/didOpen", {"textDocument": item})
    connection.notify("initialized", {})
    while engine.state.phase is not Phase.WARM:
        await asyncio.sleep(0)
    told = []
    for line in (0, 401):
        position = {"line": line, "character": 0}
        params = {"textDocument": {"uri": URI}, "position": position, "context": {"triggerKind": 1}}
        messages = await connection.answered("textDocument/inlineCompletion", params)
        assert messages[-1]["result"]["items"][0]["insertText"] == "x = 1"
        told += [text for text in texts_of(messages, "window/logMessage") if "room for an answer of" in text]
    engine.close()
    assert len(told) == 1


async def test_a_language_that_the_model_does_not_complete_is_told_once() -> None:
    engine = FakeEngine()
    engine.enter(EngineState(Phase.WARM, facts=ModelFacts(languages=("python",))))
    connection, told = Connection(engine), []
    for name, language in (("a.py", "python"), ("a.go", "go"), ("b.go", "go"), ("a.rs", "rust")):
        uri = f"file:///w/{name}"
        item = {"uri": uri, "languageId": language, "version": 1, "text": "\n"}
        connection.notify("textDocument/didOpen", {"textDocument": item})
        position = {"line": 0, "character": 0}
        params = {"textDocument": {"uri": uri}, "position": position, "context": {"triggerKind": 2}}
        messages = await connection.answered("textDocument/inlineCompletion", params)
        told += [(name, text) for text in texts_of(messages, "window/showMessage")]
    assert [name for name, _ in told] == ["a.go"]
    assert "Python only" in told[0][1]
