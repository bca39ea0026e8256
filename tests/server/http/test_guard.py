"""What is checked before an endpoint: hosts, origins, tokens, disconnects, and headers for browsers."""

from __future__ import annotations

import codecs
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import server, until

from lacuna_inference.errors import BadRequest
from lacuna_inference.remote.server_kinds import LACUNA_PATH
from lacuna_server.http import guard, origins, page
from lacuna_server.token_file import read_token

BODY = {"data": "a\n", "suffix": "\n"}
TOKEN = "a-token-of-twenty-signs"
PAGE = "http://localhost:3000"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with server() as opened:
        yield opened


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "Localhost.:5000", "127.0.0.2", "127.1.2.3:80", "[::1]:5000",
     "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]"],
)  # fmt: skip
def test_host_names_of_this_machine(host: str, client: httpx.Client) -> None:
    assert client.get("/health/live", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["a.example", "localhost.a.example", "127.0.0.1.a.example", "128.0.0.1", "192.168.0.1:5000", "[::2]", "[fe80::1]",
     "localhost..", "0x7f.1", "localhost:x"],
)  # fmt: skip
def test_foreign_host_names(host: str, client: httpx.Client) -> None:
    refused = client.get("/health/live", headers={"Host": host})
    assert refused.status_code == 403
    assert "This server does not answer to the name" in refused.json()["error"]


@pytest.mark.parametrize(
    ("listed", "asking"),
    [
        ("*", PAGE),
        ("*", "null"),
        ("null", "null"),
        (f"{PAGE}/", PAGE),
        ("HTTPS://A.Example", "https://a.example"),
        ("https://a.example:443/", "https://a.example"),
        ("vscode-webview://abc", "vscode-webview://abc"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        (" http://[::1]:3000 ", "http://[::1]:3000"),
    ],
)
def test_requests_allowed_by_a_preflight_are_answered(listed: str, asking: str) -> None:
    with server(origins=[listed]) as client:
        headers = {"Origin": asking, "Access-Control-Request-Method": "POST"}
        allowed = client.options("/v1/completions", headers=headers)
        assert allowed.headers["access-control-allow-origin"] in ("*", asking)
        answer = client.post("/v1/completions", json={"prompt": "a\n"}, headers={"Origin": asking})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] in ("*", asking)


def test_origins_that_are_not_listed_are_rejected() -> None:
    with server(origins=[PAGE]) as client:
        for asking in (
            "http://localhost:3001",
            "https://localhost:3000",
            "http://a.example",
            "null",
            f"{PAGE}.a.example",
        ):
            assert client.post("/", json=BODY, headers={"Origin": asking}).status_code == 403


def test_the_server_s_own_page_is_allowed_under_every_name(client: httpx.Client) -> None:
    for name in ("localhost:5000", "LOCALHOST:5000", "127.0.0.2", "localhost.:5000"):
        headers = {"Host": name, "Origin": f"http://{name.lower()}"}
        assert client.post("/", json=BODY, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "text",
    ["", "localhost:3000", "a.example", "https://", "https://a.example/path", "https://a.example?x", "https://u@a.example",
     "https://*.a.example", "http://a.example:x", "http://a.example:70000", "http://[::1", "http:// :", "http://a b"],
)  # fmt: skip
def test_an_invalid_origin_is_a_one_line_error(text: str) -> None:
    with pytest.raises(BadRequest, match="is not the origin of a web page"):
        origins.parse(text)


@given(st.text(st.sampled_from("aA.:/*[]@-1270e ?#%ü\x00"), max_size=30))
def test_a_parsed_origin_is_stable_or_rejected(text: str) -> None:
    for origin in (text, f"http://{text}"):
        assert origins.is_own(origin, text) in (True, False)
        assert origins.is_loopback(text) in (True, False)
        try:
            parsed = origins.parse(origin)
        except BadRequest:
            continue
        assert origins.parse(parsed) == parsed
        assert origins.is_listed(parsed, frozenset({parsed}))


@pytest.mark.parametrize("given", [f"bearer {TOKEN}", f"BEARER {TOKEN}", f"Bearer   {TOKEN}"])
def test_the_case_of_the_scheme_is_ignored(given: str) -> None:
    with server(token=TOKEN) as client:
        assert client.get("/metrics", headers={"Authorization": given}).status_code == 200
        for wrong in (f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN.upper()}", f"Bearer{TOKEN}", "Bearer", ""):
            assert client.get("/metrics", headers={"Authorization": wrong}).status_code == 401


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_token_file_may_begin_with_a_byte_order_mark(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\r\n", encoding=encoding)
    assert read_token(file) == TOKEN


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/json", b'{"data": "a\\n", "suffix": "\\n"}'),
        ("application/x-www-form-urlencoded", b'{"data": "a\\n", "suffix": "\\n"}'),
        ("application/x-www-form-urlencoded", b"data=a%0A&suffix=%0A"),
    ],
)
def test_a_body_may_begin_with_a_byte_order_mark(kind: str, content: bytes, client: httpx.Client) -> None:
    answer = client.post("/", content=codecs.BOM_UTF8 + content, headers={"Content-Type": kind})
    assert answer.json()["completion"] == "abc"


@pytest.mark.parametrize("path", ["/", "/v1/completions", "/infill", "/api/generate", LACUNA_PATH])
def test_a_disconnect_during_the_body_is_counted(
    path: str, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    port = client.base_url.port
    assert port

    def gone() -> float:
        counts = re.findall(r'lacuna_requests_total\{.*status="499"\} (\S+)', client.get("/metrics").text)
        return sum(map(float, counts))

    before = gone()
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{" % path.encode())
    until(lambda: gone() == before + 1)
    assert [record for record in caplog.records if record.exc_info] == []
    assert 'status="0"' not in client.get("/metrics").text


@pytest.mark.parametrize("imported", [{}, {"cuda": ModuleType("cuda")}])
def test_metrics_are_served_while_torch_is_imported(
    imported: dict[str, ModuleType], client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = ModuleType("torch")
    vars(half).update(imported)
    monkeypatch.setitem(sys.modules, "torch", half)
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert "lacuna_gpu_memory_bytes 0.0" in answer.text


def test_the_page_s_policy_allows_only_what_it_needs(client: httpx.Client) -> None:
    served = client.get("/", headers={"Accept": "text/html"})
    for answer in (served, client.get("/static/playground.js"), client.get("/static/playground.css")):
        assert answer.status_code == 200
        policy = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == "'self'"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
    for path in ("/", "/static/playground.js", "/health/live", "/nowhere", "/v1/models"):
        assert client.get(path).headers["x-content-type-options"] == "nosniff"


def test_the_page_complies_with_its_policy() -> None:
    """Scripts and styles come from files: the page has nothing that the policy forbids."""
    html = (page.STATIC / "index.html").read_text()
    assert re.findall(r"<script(?![^>]* src=\"/static/)", html) == []
    assert re.findall(r"\son\w+=|javascript:|<style|<iframe|<base", html) == []
    assert re.findall(r"\beval\(|\bnew Function\(|\bimportScripts\(", (page.STATIC / "playground.js").read_text()) == []


def test_a_probe_may_send_head_for_the_page(client: httpx.Client) -> None:
    answer = client.head("/")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("length", [b"Content-Length: 1000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_an_endless_body_is_abandoned(
    length: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "SLOW_S", 0.2)
    with server() as client, socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=30) as caller:
        caller.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n" + length)
        caller.settimeout(0.02)
        answer = b""
        while not answer.endswith(b"}"):
            with suppress(TimeoutError):
                if not answer:
                    caller.sendall(b"1\r\n \r\n")
                answer += caller.recv(2**16)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"invalid_request_error"' in answer
        assert 'status="408"' in client.get("/metrics").text
    assert [record for record in caplog.records if record.exc_info] == []
