"""The lifecycle over raw frames: order of requests, malformed messages, ways to exit."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import pytest
from raw_client import RawClient

URI = "file:///w/x.py"
OPEN = {"textDocument": {"uri": URI, "languageId": "python", "version": 1, "text": "x = \n"}}
AT = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 4}}
NOT_INITIALIZED, INVALID_REQUEST, INVALID_PARAMS, METHOD_NOT_FOUND, PARSE_ERROR = -32002, -32600, -32602, -32601, -32700


def code(message: dict[str, object]) -> int:
    error = message["error"]
    assert isinstance(error, dict)
    assert "Traceback" not in str(error)
    return int(error["code"])


def test_shutdown_then_exit_is_0() -> None:
    with RawClient() as client:
        result = client.initialize()["result"]
        assert result["serverInfo"]["name"] == "lacuna"
        assert result["capabilities"]["textDocumentSync"]["change"] == 2
        assert client.call("shutdown")["result"] is None
        client.notify("exit")
        assert client.exit_code() == 0


def test_exit_without_shutdown_is_1() -> None:
    with RawClient() as client:
        client.initialize()
        client.notify("exit")
        assert client.exit_code() == 1


def test_end_of_input_ends_the_server() -> None:
    with RawClient() as client:
        client.initialize()
        client.close_input()
        assert client.exit_code() in (0, 1)


def test_exit_is_quick_while_the_model_loads() -> None:
    with RawClient() as client:
        client.initialize()
        client.notify("initialized", {})
        client.call("shutdown")
        client.notify("exit")
        started = time.monotonic()
        assert client.exit_code() == 0
        assert time.monotonic() - started < 10  # the deadline is 2 s; the rest is for a busy machine


def test_requests_before_initialize_and_after_shutdown_are_rejected() -> None:
    with RawClient() as client:
        assert code(client.call("textDocument/completion", AT)) == NOT_INITIALIZED
        assert code(client.call("shutdown")) == NOT_INITIALIZED
        client.notify("textDocument/didOpen", OPEN)  # dropped, as the specification says
        client.initialize()
        assert code(client.initialize()) == INVALID_REQUEST
        client.call("shutdown")
        assert code(client.call("textDocument/completion", AT)) == INVALID_REQUEST
        client.notify("exit")
        assert client.exit_code() == 0


def test_malformed_messages_are_answered_and_the_server_keeps_running() -> None:
    with RawClient() as client:
        client.initialize()
        client.send(b"this is no JSON")
        assert code(client.answer(None)) == PARSE_ERROR
        client.send(b"[1, 2]")
        assert code(client.answer(None)) == INVALID_REQUEST
        client.send({"jsonrpc": "1.0", "id": 77, "method": "shutdown"})
        assert code(client.answer(77)) == INVALID_REQUEST
        client.send(b"\xff\xfe")
        assert code(client.answer(None)) == PARSE_ERROR
        assert code(client.call("textDocument/completion", {"nonsense": True})) == INVALID_PARAMS
        assert code(client.call("lacuna/unknown", {})) == METHOD_NOT_FOUND
        client.notify("textDocument/didChange", {"nonsense": True})
        client.notify("$/unknown", {})
        client.notify(
            "textDocument/didChange", {"textDocument": {"uri": "file:///never", "version": 1}, "contentChanges": []}
        )
        assert client.call("textDocument/completion", AT)["result"] == {"isIncomplete": True, "items": []}
        client.call("shutdown")
        client.notify("exit")
        assert client.exit_code() == 0


def test_completion_before_the_model_is_loaded_is_an_empty_incomplete_list() -> None:
    with RawClient() as client:
        client.initialize()
        client.notify("textDocument/didOpen", OPEN)
        assert client.call("textDocument/completion", AT)["result"] == {"isIncomplete": True, "items": []}


def test_nothing_heavy_is_imported_before_the_answer_to_initialize() -> None:
    with RawClient(python=("-X", "importtime")) as client:
        client.initialize()
        client.notify("exit")
        client.exit_code()
    imported = {line.rsplit("|", 1)[-1].strip() for line in client.stderr.decode().splitlines()}
    assert "pygls.lsp.server" in imported
    assert imported.isdisjoint({"torch", "transformers", "numpy", "tokenizers", "huggingface_hub", "accelerate"})


def test_one_client_is_served_over_tcp_and_a_second_is_rejected() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with RawClient("--tcp", f"127.0.0.1:{port}") as server:
        with connected(port, server) as browser:
            browser.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
            assert browser.recv(1) == b""
        client = connected(port, server)
        client.sendall(b"Content-Type: application/vscode-jsonrpc\r\n")
        with socket.create_connection(("127.0.0.1", port), 60) as second:
            second.sendall(b"Content-Length: 2\r\n\r\n{}")
            assert second.recv(1) == b""
        params = {"processId": None, "rootUri": None, "capabilities": {}}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode()
        client.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        assert b"Content-Length" in client.recv(4096)
        client.close()
        assert server.exit_code() == 0


def connected(port: int, server: RawClient) -> socket.socket:
    """A connection to `server`, made as soon as it listens."""
    while server.process.poll() is None:
        try:
            client = socket.create_connection(("127.0.0.1", port), 60)
        except ConnectionRefusedError:
            time.sleep(0.05)
            continue
        return client
    raise AssertionError(server.stderr.decode())


def test_user_code_is_not_logged_and_stdout_carries_only_the_protocol() -> None:
    with RawClient() as client:
        client.initialize()
        secret = {**OPEN, "textDocument": {**OPEN["textDocument"], "text": "password = 'hunter2'"}}
        client.notify("textDocument/didOpen", secret)
        client.call("textDocument/completion", AT)
        client.call("textDocument/completion", {"nonsense": "hunter2"})
        client.call("shutdown")
        client.notify("exit")
        client.exit_code()
        assert b"hunter2" not in client.stderr


def test_an_invalid_setting_is_logged() -> None:
    with RawClient() as client:
        client.initialize(initializationOptions={"max_tokenz": 3})
        client.notify("initialized", {})
        while (message := client.messages.get(timeout=60)) is not None:
            if message.get("method") == "window/logMessage":
                assert "Did you mean 'max_tokens'?" in message["params"]["message"]
                break


def test_a_model_that_does_not_load_is_shown_once_and_answers_stay_empty() -> None:
    with RawClient("--model", "./nowhere") as client:
        client.initialize()
        client.notify("initialized", {})
        while (message := client.messages.get(timeout=60)) is not None:
            if message.get("method") == "window/showMessage":
                assert "There is no folder ./nowhere" in message["params"]["message"]
                break
        client.notify("textDocument/didOpen", OPEN)
        assert client.call("textDocument/completion", AT)["result"]["items"] == []
        client.call("shutdown")
        client.notify("exit")
        assert client.exit_code() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="watches a POSIX process")
def test_the_server_exits_when_its_editor_is_gone() -> None:
    editor = subprocess.Popen(["sleep", "600"])
    with RawClient() as client:
        client.initialize(processId=editor.pid)
        editor.kill()
        editor.wait()
        assert client.exit_code() == 1


def test_a_bad_address_is_one_line() -> None:
    for address, message in (("0.0.0.0:1", "not on loopback"), ("nowhere", "not an address")):
        with RawClient("--tcp", address, env={"PYTHONWARNINGS": "ignore"}) as client:
            assert client.exit_code() == 2
            assert message in client.stderr.decode()
            assert client.stderr.count(b"\n") == 1
    assert os.environ["HF_HUB_OFFLINE"] == "1"
