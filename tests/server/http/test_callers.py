"""Many callers: queue, sessions, tokens, disconnects, and lack of memory."""

from __future__ import annotations

import json
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import echoing_decoder, scripted_decoder
from serving import sent_events, server, until

from lacuna_server.http.gateway import GatewayLimits

BODY = {"data": "a\n", "suffix": "\n"}


ANSWERS = int(os.environ.get("LACUNA_TEST_ANSWERS", "2000"))
"""How many answers of many callers are looked at; a hundred a second."""


class Held:
    """Holds the model in its steps until `release`."""

    def __init__(self) -> None:
        self.entered, self._may = threading.Event(), threading.Event()
        self.armed = False

    def __call__(self, _: int) -> None:
        if self.armed:
            self.entered.set()
            self._may.wait(20)

    def release(self) -> None:
        self.armed = False
        self._may.set()


@pytest.mark.timeout(60 + ANSWERS // 20)
def test_no_answer_is_lost_or_mixed_up() -> None:
    with (
        server(decoder=echoing_decoder(), limits=GatewayLimits(waiting=400)) as client,
        ThreadPoolExecutor(16) as callers,
    ):

        def ask(number: int) -> bool:
            letter = chr(97 + number % 26)
            body = {"data": f"{letter}\n", "suffix": "\n", "max_tokens": 1 + number % 5, "session": f"s{number}"}
            answer = client.post("/", json=body)
            return bool(answer.json()["completion"] == letter * (1 + number % 5))

        assert all(callers.map(ask, range(ANSWERS)))


def test_callers_beyond_the_queue_limit_are_asked_to_retry() -> None:
    held = Held()
    with (
        server("x" * 20, on_step=held, limits=GatewayLimits(waiting=2)) as client,
        ThreadPoolExecutor(2) as callers,
    ):
        held.armed = True
        inside = [callers.submit(client.post, "/", json=BODY) for _ in range(2)]
        until(lambda: "lacuna_requests_inside 2.0" in client.get("/metrics").text)
        refused = client.post("/", json=BODY)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        held.release()
        assert [one.result().status_code for one in inside] == [200, 200]
        assert client.post("/", json=BODY).status_code == 200


def test_the_newest_request_of_a_session_wins() -> None:
    held = Held()
    with server("x" * 20, on_step=held) as client, ThreadPoolExecutor(2) as callers:
        held.armed = True
        older = callers.submit(client.post, "/", json={**BODY, "session": "s"})
        assert held.entered.wait(20)
        newer = callers.submit(client.post, "/", json={"data": "ab\n", "suffix": "\n", "session": "s"})
        until(lambda: "lacuna_requests_inside 2.0" in client.get("/metrics").text)
        held.release()
        refused = older.result()
        assert (refused.status_code, refused.headers["x-should-retry"]) == (409, "false")
        assert newer.result().json()["completion"] == "x" * 20


def test_a_session_s_key_costs_one_token() -> None:
    with server("xyz") as client:
        text = "a = 1\n" * 20
        client.post("/", json={"data": text, "suffix": "\n", "session": "s"})
        again = client.post("/", json={"data": f"{text}x", "suffix": "\n", "session": "s"}).json()
        assert again["usage"]["forward_passes"] <= 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_who_disconnects_frees_the_engine_within_a_step(stream: bool) -> None:
    steps = []
    held = Held()

    def on_step(number: int) -> None:
        steps.append(number)
        held(number)

    with server("x" * 60, on_step=on_step) as client:
        held.armed = True
        port = client.base_url.port
        assert port
        with socket.create_connection(("127.0.0.1", port)) as caller:
            body = b'{"data": "b\\n", "suffix": "\\n", "stream": %s}' % (b"true" if stream else b"false")
            caller.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            assert held.entered.wait(20)
        if stream:  # a disconnect is only noticed when something is written
            held.release()
        until(lambda: "lacuna_requests_inside 0.0" in client.get("/metrics").text)
        before = len(steps)
        held.release()
        assert client.post("/", json=BODY).json()["completion"] == "x" * 60
        assert len(steps) - before <= 63 if not stream else len(steps) < 130


def test_a_caller_who_disconnects_before_the_stream_begins_is_noticed() -> None:
    held = Held()
    with server("x" * 20, on_step=held) as client:
        held.armed = True
        port = client.base_url.port
        assert port
        with socket.create_connection(("127.0.0.1", port)) as caller:
            body = b'{"data": "c\\n", "suffix": "\\n", "stream": true}'
            caller.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            assert held.entered.wait(20)
        until(lambda: "lacuna_requests_inside 0.0" in client.get("/metrics").text)  # the model is still blocked
        held.release()


def test_streamed_text_is_not_retracted_at_the_deadline() -> None:
    slow = threading.Event()
    decoder = scripted_decoder("ab\ncd" * 20, on_step=lambda _: slow.wait(0.02))
    with server(decoder=decoder, limits=GatewayLimits(timeout_s=0.2)) as client:
        *events, end = map(json.loads, sent_events(client.post("/", json={**BODY, "stream": True})))
        assert end["finish_reason"] == "deadline"
        assert "".join(event["text"] for event in events) == end["completion"]


def test_a_user_field_without_a_file_creates_no_session() -> None:
    held = Held()
    with server("x" * 20, on_step=held) as client, ThreadPoolExecutor(2) as callers:
        held.armed = True
        body = {**BODY, "user": "alice"}
        both = [callers.submit(client.post, "/", json=body) for _ in range(2)]
        until(lambda: "lacuna_requests_inside 2.0" in client.get("/metrics").text)
        held.release()
        assert [one.result().status_code for one in both] == [200, 200]


def test_a_foreign_origin_is_rejected() -> None:
    with server() as client:
        assert client.post("/", json=BODY, headers={"Origin": "https://a.example"}).status_code == 403
        assert client.post("/", json=BODY, headers={"Host": "a.example"}).status_code == 403
        own = str(client.base_url).rstrip("/")
        assert client.post("/", json=BODY, headers={"Origin": own}).status_code == 200


def test_a_request_that_takes_too_long_ends_with_the_text_so_far() -> None:
    slow = threading.Event()
    with server("x" * 60, on_step=lambda _: slow.wait(0.02), limits=GatewayLimits(timeout_s=0.3)) as client:
        answer = client.post("/", json=BODY).json()
        assert answer["finish_reason"] == "deadline"
        assert 0 < len(answer["completion"]) < 60


def test_running_out_of_memory_is_an_error_response_and_recovers() -> None:
    broken = False

    def on_step(_: int) -> None:
        if broken:
            raise RuntimeError("CUDA out of memory")

    decoder = scripted_decoder("abc", on_step=on_step)
    with server(decoder=decoder) as client:
        client.post("/", json=BODY)
        assert decoder.caches.nbytes > 0
        broken = True
        refused = client.post("/v1/completions", json={"prompt": "q\n", "suffix": "\n"})
        assert refused.status_code == 503
        assert "out of memory" in refused.json()["error"]["message"]
        assert decoder.caches.nbytes == 0
        broken = False
        assert client.post("/", json=BODY).json()["completion"] == "abc"


def test_without_the_token_every_request_is_rejected() -> None:
    with server(token="secret-token-of-ours") as client:
        for path in ("/", "/v1/completions", "/infill", "/api/generate"):
            assert client.post(path, json=BODY).status_code == 401
        assert client.get("/metrics").status_code == 401
        assert client.post("/", json=BODY, headers={"Authorization": "Bearer secret-token"}).status_code == 401
        assert client.post("/", json=BODY, headers={"Authorization": "Bearer secret-token-of-ours"}).status_code == 200


def test_foreign_origins_are_rejected_unless_listed() -> None:
    asking = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    with server() as client:
        assert "access-control-allow-origin" not in client.options("/", headers=asking).headers
    with server(origins=["https://a.example"], token="a-token-of-twenty-signs") as client:
        assert client.options("/v1/completions", headers=asking).status_code == 200
        assert client.options("/", headers=asking).headers["access-control-allow-origin"] == "https://a.example"
        assert (
            "access-control-allow-origin" not in client.options("/", headers={**asking, "Origin": "https://b"}).headers
        )
