"""Callers who hold connections: they never finish a request, send garbage, or do not read the answer."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from half_open import HalfOpen
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import PATIENCE_S, Process, listener, port_of, until

from lacuna_server.http.connections import Pool, Timeouts
from lacuna_server.http.listening import HttpServer
from lacuna_server.http.tls import context

logger = logging.getLogger(__name__)
HALF_OPEN_S = float(os.environ.get("LACUNA_TEST_HALF_OPEN_S", "3"))
"""How long half-open connections are held against a server."""
HALF_OPEN, FILES, ASKED_EVERY_S = 1100, 1024, 0.25
MOST_LOG_BYTES = 100_000


@pytest.fixture
def many_files() -> None:
    """Raises this process's limit of open files for the connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * HALF_OPEN:
        pytest.skip("this process may not open so many files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * HALF_OPEN, hard))


@pytest.mark.timeout(120 + 2 * HALF_OPEN_S)
def test_half_open_connections_block_no_caller_and_do_not_flood_the_log(many_files: None, tmp_path: Path) -> None:
    with Process(tmp_path / "log", files=FILES) as served:
        until(lambda: httpx.get(f"{served.url}/health/ready").status_code == 200)
        logged, port, took = len(served.log_text), int(served.url.rpartition(":")[2]), []
        with HalfOpen(port, HALF_OPEN) as callers:
            end = time.monotonic() + HALF_OPEN_S
            while time.monotonic() < end:
                took.append(seconds_until_healthy(port))
                callers.hold(ASKED_EVERY_S)
        grown = len(served.log_text) - logged
    logger.info("%d asked, at most %.3f s; %d opened; log %d bytes", len(took), max(took), callers.opened, grown)
    assert callers.closed > HALF_OPEN - FILES
    assert grown < MOST_LOG_BYTES


def seconds_until_healthy(port: int) -> float:
    """Over a separate connection. Raises TimeoutError after a second."""
    began = time.monotonic()
    connection = HTTPConnection("127.0.0.1", port, timeout=1)
    connection.request("GET", "/health/live")
    assert connection.getresponse().status == 200
    connection.close()
    return time.monotonic() - began


HURRIED = Timeouts(request_s=0.2, idle_s=0.2, stalled_s=0.2)
LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def hurried() -> Iterator[HttpServer]:
    with listener(token="a-token-of-twenty-signs", timeouts=HURRIED) as running:
        yield running


@contextmanager
def caller(running: HttpServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port_of(running)), timeout=PATIENCE_S) as opened:
        yield opened


def rest(opened: socket.socket) -> bytes:
    """The bytes received until the server closes the connection."""
    received = bytearray()
    try:
        while data := opened.recv(2**16):
            received += data
    except ConnectionResetError:
        pass
    return bytes(received)


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"", b""),
        (b"GET", b"HTTP/1.1 408 "),
        (b"GET / HTTP/1.1\r\nHost: loc", b"HTTP/1.1 408 "),
        (POST + b"Content-Length: 100\r\n\r\n{", b"HTTP/1.1 401 "),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", b"HTTP/1.1 401 "),
        (POST + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n", b"HTTP/1.1 401 "),
    ],
)
def test_a_connection_that_never_sends_a_request_is_closed(sent: bytes, answered: bytes, hurried: HttpServer) -> None:
    with caller(hurried) as opened:
        opened.sendall(sent)
        received = rest(opened)
    assert received[: len(answered)] == answered
    assert bool(received) == bool(answered)


@pytest.mark.parametrize("first", [b"", LIVE])
def test_slow_bytes_do_not_extend_the_timeout(first: bytes, hurried: HttpServer) -> None:
    with caller(hurried) as opened:
        opened.sendall(first + b"GET / HTTP/1.1\r\nX: ")
        opened.settimeout(0.02)
        received, end = b"", time.monotonic() + PATIENCE_S
        while not received.count(b"HTTP/1.1 ") > bool(first):
            assert time.monotonic() < end
            with suppress(TimeoutError):
                opened.sendall(b"x")
                received += opened.recv(2**16)
    assert b"HTTP/1.1 408 " in received


def test_a_connection_may_be_reused_but_not_kept_idle(hurried: HttpServer) -> None:
    with caller(hurried) as opened:
        opened.sendall(LIVE + LIVE)
        received = rest(opened)
    assert received.count(b"HTTP/1.1 200 OK") == received.count(b'{"status":"live"}') == 2


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"rubbish\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost : b\r\n\r\n", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nno length\r\n", 400),
    ],
)
def test_a_malformed_request_gets_a_status(
    sent: bytes, status: int, hurried: HttpServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caller(hurried) as opened:
        opened.sendall(sent)
        assert b"HTTP/1.1 %d " % status in rest(opened)
    assert [record for record in caplog.records if record.exc_info] == []


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", LIVE, POST + b"Transfer-Encoding: chunked\r\n\r\n"]))
def test_any_bytes_end_the_connection_but_not_the_server(hurried: HttpServer, sent: bytes, first: bytes) -> None:
    with caller(hurried) as opened, suppress(OSError):
        opened.sendall(first + sent)
        opened.shutdown(socket.SHUT_WR)
        rest(opened)
    assert seconds_until_healthy(port_of(hurried)) < PATIENCE_S


def test_garbage_after_an_answered_request_causes_no_traceback(
    hurried: HttpServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caller(hurried) as opened:
        opened.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        assert opened.recv(2**16).startswith(b"HTTP/1.1 401 ")
        opened.sendall(b"no length\r\n")
        rest(opened)
    assert [record for record in caplog.records if record.exc_info] == []


def test_an_answer_that_is_not_read_is_abandoned() -> None:
    body = b'{"data": "%s", "suffix": "\\n"}' % (b"x" * 3_900_000)
    timeouts = Timeouts(request_s=10 * PATIENCE_S, idle_s=10 * PATIENCE_S, stalled_s=0.2)
    with listener(timeouts=timeouts) as running, socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.connect(("127.0.0.1", port_of(running)))
        opened.sendall(POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        until(lambda: not running.pool and bool(running.server_state.total_requests))


def test_an_answer_that_is_read_slowly_arrives() -> None:
    body = b'{"data": "%s", "suffix": "\\n"}' % (b"x" * 3_900_000)
    head = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    with listener(timeouts=replace(HURRIED, request_s=PATIENCE_S)) as running, caller(running) as opened:
        opened.sendall(head + body)
        received, pause = bytearray(), threading.Event()
        while data := opened.recv(2**18):
            received += data
            pause.wait(0.05)
    assert len(received) > len(body)


def test_when_too_many_are_open_the_longest_idle_one_is_closed() -> None:
    with listener(max_connections=3) as running, caller(running) as first, caller(running) as second:
        until(lambda: len(running.pool) == 2)
        with caller(running) as third:
            until(lambda: len(running.pool) == 3)
            first.sendall(LIVE)
            assert first.recv(2**16).startswith(b"HTTP/1.1 200 ")
            assert seconds_until_healthy(port_of(running)) < PATIENCE_S
            assert rest(second) == b""
            third.sendall(LIVE)
            assert third.recv(2**16).startswith(b"HTTP/1.1 200 ")


def test_a_connection_being_answered_is_not_dropped() -> None:
    armed, entered, may = threading.Event(), threading.Event(), threading.Event()

    def on_step(_: int) -> None:
        if armed.is_set():
            entered.set()
            may.wait(PATIENCE_S)

    body = b'{"data": "a\\n", "suffix": "\\n"}'
    with listener(on_step=on_step, max_connections=1) as running:
        until(lambda: httpx.get(f"http://127.0.0.1:{port_of(running)}/health/ready").status_code == 200)
        with caller(running) as asking:
            armed.set()
            asking.sendall(POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            try:
                assert entered.wait(PATIENCE_S)
                with caller(running) as refused:
                    assert rest(refused) == b""
            finally:
                may.set()
            assert b'"completion":"abc"' in rest(asking)


def test_new_connections_are_rejected_during_shutdown() -> None:
    with listener(timeouts=Timeouts(request_s=10 * PATIENCE_S)) as running:
        running.pool.closed = True
        with caller(running) as opened:
            assert rest(opened) == b""


def test_connections_are_closed_when_descriptors_run_out(caplog: pytest.LogCaptureFixture) -> None:
    pool, loop = Pool(100), asyncio.new_event_loop()
    held = [Held() for _ in range(10)]
    for one in held:
        pool.mark_waiting(one)
    pool.mark_busy(held[0])
    context = {"message": "socket.accept() out of system resource", "socket": None}
    pool.on_loop_error(loop, {**context, "exception": OSError(errno.EMFILE, os.strerror(errno.EMFILE))})
    assert [one.dropped for one in held] == [0] + [1] * 4 + [0] * 5
    assert "Too many open files" in caplog.text
    loop.close()


class Held:
    """A connection of a pool."""

    def __init__(self) -> None:
        self.dropped = 0

    def drop(self) -> None:
        self.dropped += 1


@given(
    st.integers(1, 5), st.lists(st.tuples(st.sampled_from(["mark_waiting", "mark_busy", "remove"]), st.integers(0, 9)))
)
def test_a_pool_never_holds_too_many_idle_connections(most: int, steps: list[tuple[str, int]]) -> None:
    pool, held = Pool(most), [Held() for _ in range(10)]
    busy: set[int] = set()
    for step, number in steps:
        getattr(pool, step)(held[number])
        busy = busy | {number} if step == "mark_busy" else busy - {number}
        assert len(busy) <= len(pool) <= max(most, len(busy))


TLS = Path(__file__).parents[2] / "data/tls"


@pytest.fixture(scope="module")
def secure() -> Iterator[HttpServer]:
    with listener(
        secure=context(TLS / "certificate.pem", TLS / "key.pem"), timeouts=HURRIED, max_connections=20
    ) as running:
        yield running


def test_tls_works(secure: HttpServer) -> None:
    trusted = ssl.create_default_context(cafile=TLS / "certificate.pem")
    answer = httpx.post(
        f"https://localhost:{port_of(secure)}", json={"data": "a\n", "suffix": "\n"}, verify=trusted, timeout=PATIENCE_S
    )
    assert answer.json()["completion"] == "abc"


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n\r\n"])
def test_an_unfinished_handshake_is_closed(sent: bytes, secure: HttpServer, caplog: pytest.LogCaptureFixture) -> None:
    with caller(secure) as opened:
        opened.sendall(sent)
        rest(opened)
    until(lambda: not secure.pool)
    assert [record for record in caplog.records if record.exc_info] == []


def test_handshakes_count_as_connections() -> None:
    tls = context(TLS / "certificate.pem", TLS / "key.pem")
    with (
        listener(secure=tls, max_connections=2) as running,
        caller(running) as first,
        caller(running),
        caller(running),
    ):
        assert rest(first) == b""
        assert len(running.pool) == 2


def test_a_connection_silent_after_the_handshake_is_closed(secure: HttpServer) -> None:
    trusting = ssl.create_default_context(cafile=TLS / "certificate.pem")
    with caller(secure) as opened, trusting.wrap_socket(opened, server_hostname="localhost") as wrapped:
        assert rest(wrapped) == b""
    until(lambda: not secure.pool)
