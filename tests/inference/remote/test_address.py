"""Server addresses as users write them, certificates, and warnings about connections that others can read."""

from __future__ import annotations

import json
import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from lacuna_inference.api import Phase, Request
from lacuna_inference.errors import BadRequest, EngineUnavailable
from lacuna_inference.remote import engine as remote
from lacuna_inference.remote.engine import RemoteEngine, RemoteOptions
from lacuna_server import engines
from lacuna_server.cli import _start_logging
from lacuna_server.settings import PROTECTED, Settings

CERTIFICATE = Path(__file__).parents[2] / "data/http/localhost.pem"
"""Made for these tests as docs/http.md says, for localhost and 127.0.0.1."""


def asked_at(url: str, kind: str) -> list[str]:
    """The URLs requested from a server at `url` for a completion."""
    urls: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        urls.append(str(request.url))
        answer = {
            "data": [{"id": "m"}],
            "models": [{"name": "m"}],
            "choices": [],
            "response": "",
            "content": "",
            "generated_text": "",
        }
        return httpx.Response(200, json=answer)

    engine = RemoteEngine(RemoteOptions(url, kind, model="m"), httpx.MockTransport(handle))
    engine.submit(Request(("a", "b"))).exception(10)  # one kind wants more than this answer
    engine.close()
    return urls


@pytest.mark.parametrize(
    ("url", "kind", "asked"),
    [
        ("http://h", "openai", ["http://h/v1/models", "http://h/v1/completions"]),
        ("http://h/v1", "openai", ["http://h/v1/models", "http://h/v1/completions"]),
        ("http://h/v1/", "openai", ["http://h/v1/models", "http://h/v1/completions"]),
        ("http://h//v1//", "openai", ["http://h/v1/models", "http://h/v1/completions"]),
        ("http://h/v1/completions", "openai", ["http://h/v1/models", "http://h/v1/completions"]),
        (
            "HTTP://H:8000//team//a/v1",
            "openai",
            ["http://h:8000/team/a/v1/models", "http://h:8000/team/a/v1/completions"],
        ),
        ("http://h/apiv1", "openai", ["http://h/apiv1/v1/models", "http://h/apiv1/v1/completions"]),
        (" http://[::1]:80/v1\n", "openai", ["http://[::1]/v1/models", "http://[::1]/v1/completions"]),
        ("http://h/v1", "llama.cpp", ["http://h/health", "http://h/infill"]),
        ("http://h/infill", "llama.cpp", ["http://h/health", "http://h/infill"]),
        ("http://h//", "llama.cpp", ["http://h/health", "http://h/infill"]),
        ("http://h/api/generate", "ollama", ["http://h/api/tags", "http://h/api/generate"]),
        ("http://h/api", "ollama", ["http://h/api/tags", "http://h/api/generate"]),
        ("http://h/v1", "ollama", ["http://h/api/tags", "http://h/api/generate"]),
        ("http://h/v1", "tgi", ["http://h/health", "http://h/generate"]),
        ("http://h//generate", "tgi", ["http://h/health", "http://h/generate"]),
        ("http://h//v1", "tabby", ["http://h/v1/health", "http://h/v1/completions"]),
        ("http://h/v1", "lacuna", ["http://h/health/ready", "http://h/lacuna/answer"]),
        ("http://h//", "lacuna", ["http://h/health/ready", "http://h/lacuna/answer"]),
    ],
)
def test_addresses_copied_from_elsewhere(url: str, kind: str, asked: list[str]) -> None:
    assert asked_at(url, kind) == asked


@pytest.mark.parametrize(
    "url",
    ["h:5000", "ftp://h", "http://", "http:///v1", "http://h:port", "http://h:99999", "http://h?x=1", "http://h/#x"],
)
def test_an_invalid_address_is_a_one_line_error(url: str) -> None:
    with pytest.raises(BadRequest, match="address of a server"):
        RemoteEngine(RemoteOptions(url))


def test_a_password_in_an_invalid_address_is_not_shown() -> None:
    with pytest.raises(BadRequest) as failed:
        RemoteEngine(RemoteOptions("http://user:secret@h:port"))
    assert "secret" not in str(failed.value)


def test_a_password_in_an_address_is_sent_as_credentials() -> None:
    sent: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(401)

    engine = RemoteEngine(RemoteOptions("http://user:secret@h", "openai"), httpx.MockTransport(handle))
    with pytest.raises(EngineUnavailable):
        engine.submit(Request(("a",))).result(10)
    engine.close()
    assert sent[0].headers["authorization"].startswith("Basic ")
    assert "secret" not in str(sent[0].url)


@contextmanager
def tls_server() -> Iterator[str]:
    """The address of a server of the kind openai with `CERTIFICATE`."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            body = json.dumps({"data": [{"id": "m"}], "choices": [{"text": "1"}]}).encode()
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

    class Server(HTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that does not trust the certificate leaves."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_name("localhost-key.pem"))
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_self_signed_certificate_is_trusted_when_configured() -> None:
    with tls_server() as url:
        engine = engines.make(Settings(engine=url, engine_kind="openai", engine_ca_file=CERTIFICATE))
        assert engine.submit(Request(("a", "b"))).result(10).candidates[0].text == "1"
        engine.close()


def test_an_untrusted_certificate_is_reported_and_nothing_is_sent() -> None:
    with tls_server() as url:
        engine = RemoteEngine(RemoteOptions(url, "openai"))
        with pytest.raises(EngineUnavailable, match=r"not trusted: self-signed certificate\. Check engine_ca_file"):
            engine.submit(Request(("a", "b"))).result(10)
        assert engine.state.phase is Phase.FAILED
        engine.close()


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), ("no certificate", "holds no certificate")])
def test_a_file_without_certificates_is_a_one_line_error(tmp_path: Path, content: str | None, why: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadRequest, match=rf"ca\.pem cannot be used: .*{why}.*engine_ca_file"):
        RemoteEngine(RemoteOptions("https://h", ca_file=file))


def test_an_editor_cannot_choose_trusted_certificates() -> None:
    assert "engine_ca_file" in PROTECTED


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://gpu-box:5000", True),
        ("http://10.0.0.5", True),
        ("https://gpu-box:5000", False),
        ("http://localhost:5000", False),
        ("http://dev.localhost:5000", False),
        ("http://127.3.2.1:5000", False),
        ("http://[::1]:5000", False),
    ],
)
def test_sending_code_and_token_over_plain_http_is_warned_about(
    url: str, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-twenty-signs")
    engines.make(Settings(engine=url, engine_token_file=token)).close()
    assert ("Your code and the token are sent to" in caplog.text) is warned
    assert "a-token-of" not in caplog.text


@pytest.mark.parametrize(("family", "warned"), [("auto", True), ("qwen2.5-coder", False)])
def test_a_server_that_would_not_see_the_suffix_is_warned_about(
    family: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    engines.make(Settings(engine="http://localhost", engine_kind="openai", family=family)).close()
    assert ("No prompt family is named" in caplog.text) is warned


def test_a_dropped_first_connection_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_RETRY_S", 0.01)
    dropped = iter([httpx.RemoteProtocolError("Server disconnected without sending a response.")])

    def handle(_: httpx.Request) -> httpx.Response:
        if (error := next(dropped, None)) is not None:
            raise error
        return httpx.Response(200, json={"data": [{"id": "m"}], "choices": [{"text": "1"}]})

    engine = RemoteEngine(RemoteOptions("http://h", "openai"), httpx.MockTransport(handle))
    assert engine.submit(Request(("a", "b"))).result(10).candidates[0].text == "1"
    engine.close()


@pytest.mark.parametrize(("level", "logged"), [("info", False), ("debug", True)])
def test_requests_are_logged_only_for_debugging(level: Any, logged: bool, tmp_path: Path) -> None:
    root = logging.getLogger()
    before, handlers = root.level, root.handlers[:]
    try:
        _start_logging(level, tmp_path / "log")
        for name in ("httpx", "httpcore.connection"):
            logging.getLogger(name).info("HTTP Request: POST http://h/v1/completions")
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers, root.level = handlers, before
        logging.captureWarnings(False)
    assert ("HTTP Request" in (tmp_path / "log").read_text()) is logged
