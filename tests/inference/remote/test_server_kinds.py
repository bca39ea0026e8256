"""Engines over HTTP: what is sent to each kind of server, what its answers mean, and how a lost server is handled."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lacuna_inference.api import (
    CancelToken,
    Candidate,
    CompletionResult,
    EngineState,
    Fill,
    Phase,
    Raw,
    Request,
    RequestMetrics,
    Sampling,
    Stop,
    StopReason,
    TokenizeOptions,
    TokenLogprob,
)
from lacuna_inference.errors import BadRequest, EngineUnavailable, RequestCancelled
from lacuna_inference.remote import engine as remote
from lacuna_inference.remote.engine import RemoteEngine, RemoteOptions
from lacuna_inference.remote.json_form import request_from_json, request_to_json, result_from_json, result_to_json

REQUEST_HERE = Request(
    ("import os\nx = os.", "\nprint(x)\n"), path="a.py", stop=Stop(max_tokens=9, single_line=True), sampling=Sampling()
)
Handler = Callable[[httpx.Request], httpx.Response]
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "openai": (  # vLLM: vllm/entrypoints/openai/completion/protocol.py
        {"object": "list", "data": [{"id": "served", "object": "model"}]},
        {"object": "text_completion", "choices": [{"index": 0, "text": "getcwd()\nmore", "finish_reason": "length"}]},
        {
            "model": "served",
            "prompt": "<fim_prefix>import os\nx = os.<fim_suffix>\nprint(x)\n<fim_middle>",
            "max_tokens": 9,
            "n": 1,
            "stop": ["\n", "<|endoftext|>"],
        },
    ),
    "llama.cpp": (  # tools/server/server-context.cpp, and what llama.cpp b11549 answered
        {"status": "ok"},
        {"content": "getcwd()<|endoftext|>", "stop": True, "stop_type": "eos", "stopping_word": "", "tokens_cached": 3},
        {"input_prefix": "import os\nx = os.", "prompt": "", "input_suffix": "\nprint(x)\n", "n_predict": 9},
    ),
    "ollama": (  # api/types.go, server/routes.go
        {"models": [{"name": "served", "model": "served", "details": {"family": "starcoder"}}]},
        {"model": "served", "response": "getcwd()", "done": True, "done_reason": "stop", "eval_count": 3},
        {
            "model": "served",
            "prompt": "<fim_prefix>import os\nx = os.<fim_suffix>\nprint(x)\n<fim_middle>",
            "raw": True,
            "stream": False,
        },
    ),
    "tgi": (  # router/src/lib.rs
        {},
        {"generated_text": "getcwd()\n", "details": {"finish_reason": "stop_sequence", "generated_tokens": 4}},
        {"inputs": "<fim_prefix>import os\nx = os.<fim_suffix>\nprint(x)\n<fim_middle>"},
    ),
    "tabby": (  # crates/tabby/src/services/completion.rs
        {"model": "served"},
        {"id": "cmpl-1", "choices": [{"index": 0, "text": "getcwd()"}], "mode": "standard"},
        {"segments": {"prefix": "import os\nx = os.", "suffix": "\nprint(x)\n", "filepath": "a.py"}},
    ),
}
"""What each kind of server says of itself and answers, and what it must have been sent; from the source named there."""


def engine_with(handler: Handler, kind: str = "openai", **options: Any) -> RemoteEngine:
    remote_options = RemoteOptions("http://server", kind, family="starcoder", **options)
    return RemoteEngine(remote_options, httpx.MockTransport(handler))


@pytest.mark.parametrize(
    ("status", "languages"),
    [({"languages": ["python"]}, ("python",)), ({}, ()), ({"languages": None}, ()), ({"languages": "go"}, ())],
)
def test_the_languages_of_a_lacuna_server_s_model_are_known(status: dict[str, Any], languages: tuple[str, ...]) -> None:
    engine = engine_with(lambda _: httpx.Response(200, json={"model": "served", **status}), "lacuna")
    warm = threading.Event()
    engine.watch(lambda state: warm.set() if state.phase is Phase.WARM else None)
    engine.start()
    assert warm.wait(10)
    assert engine.state.facts.languages == languages
    engine.close()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_server(kind: str) -> None:
    status, answer, sent = KINDS[kind]
    bodies: list[dict[str, Any]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=status)
        bodies.append(json.loads(request.content))
        return httpx.Response(200, json=answer)

    engine = engine_with(handle, kind)
    completions = engine.submit(REQUEST_HERE).result(10)
    assert completions.candidates[0].text == "getcwd()"
    assert {name: bodies[0][name] for name in sent} == sent
    assert engine.state.phase is Phase.WARM
    assert engine.close()


def test_stop_rules_cut_what_a_server_writes_beyond_them() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": [{"id": "m"}], "choices": [{"text": "1\n2"}, {"text": "1\n3"}]})

    engine = engine_with(handle)
    (candidate,) = engine.submit(REQUEST_HERE).result(10).candidates
    assert (candidate.fills[0].text, candidate.fills[0].reason) == ("1", StopReason.NEWLINE)
    engine.close()


def test_a_request_is_sent_with_all_its_fields() -> None:
    request = Request(
        ("a", "b"), stop=Stop(3, strings=("x",)), document_id="k", sampling=Sampling(0.5, seed=3), on_token=print
    )
    assert request_from_json(json.loads(json.dumps(request_to_json(request)))) == request


def test_names_on_the_wire_are_those_of_the_first_release() -> None:
    sent = request_to_json(Request(("a", "b"), document_id="k", related_files=("c",), is_prefetch=True))
    assert (sent["key"], sent["nearby"], sent["ahead"]) == ("k", ("c",), True)
    assert {"looks_ahead", "settles", "alternatives", "prompt_alternatives", "tokens"} <= set(sent)
    assert request_from_json({"parts": ["a"], "document_id": "of a later release"}).document_id is None
    tokens = (TokenLogprob("a", -1.0, (("b", -2.0),)),)
    fill = Fill("a", StopReason.OUTSIDE, 1, -1.0, tokens)
    result = CompletionResult((Candidate((fill,)),), RequestMetrics(), "m", tokens)
    answered = result_to_json(result)
    assert set(answered) == {"candidates", "counters", "model", "prompt"}
    assert answered["candidates"][0]["fills"][0]["scored"][0]["alternatives"] == [["b", -2.0]]
    assert answered["candidates"][0]["fills"][0]["reason"] == "end-of-hole"
    assert result_from_json(json.loads(json.dumps(answered))) == result


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, BadRequest), (409, RequestCancelled), (503, EngineUnavailable), (500, EngineUnavailable)],
)
def test_errors_of_a_server(status: int, error: type[Exception]) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        content = {"error": {"message": "so it is"}}
        return httpx.Response(200 if request.method == "GET" else status, json=content)

    engine = engine_with(handle)
    with pytest.raises(error, match="so it is"):
        engine.submit(REQUEST_HERE).result(10)
    engine.close()


def test_a_wrong_token_is_not_retried() -> None:
    engine = engine_with(lambda _: httpx.Response(401), token="wrong")
    states: list[EngineState] = []
    failed = threading.Event()
    engine.watch(lambda state: (states.append(state), failed.set() if state.phase is Phase.FAILED else None))  # type: ignore[func-returns-value]
    engine.start()
    assert failed.wait(10)
    assert "another token" in states[-1].message
    with pytest.raises(EngineUnavailable, match="another token"):
        engine.submit(REQUEST_HERE).result(10)
    engine.close()


def test_a_lost_server_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_RETRY_S", 0.01)
    away = False

    def handle(request: httpx.Request) -> httpx.Response:
        if away:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json={"data": [{"id": "m"}], "choices": [{"text": "1"}]})

    engine = engine_with(handle)
    assert engine.submit(REQUEST_HERE).result(10).candidates[0].text == "1"
    away = True
    with pytest.raises(EngineUnavailable, match="does not answer"):
        engine.submit(REQUEST_HERE).result(10)
    assert engine.state.phase is Phase.UNREACHABLE
    away = False
    assert engine.submit(REQUEST_HERE).result(10).candidates[0].text == "1"
    engine.close()


def test_an_invalid_answer_is_a_one_line_error(caplog: pytest.LogCaptureFixture) -> None:
    engine = engine_with(lambda _: httpx.Response(200, json={"choices": 7}))
    with pytest.raises(EngineUnavailable, match="not understood"):
        engine.submit(REQUEST_HERE).result(10)
    engine.close()


def test_cancel_and_newest_wins_do_not_wait_for_the_server() -> None:
    hold = threading.Event()

    async def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            import asyncio

            while not hold.is_set():
                await asyncio.sleep(0.01)
        return httpx.Response(200, json={"data": [{"id": "m"}], "choices": [{"text": "1"}]})

    engine = engine_with(handle)  # type: ignore[arg-type]
    cancel = CancelToken()
    cancelled = engine.submit(REQUEST_HERE, cancel)
    older = engine.submit(Request(("a",), document_id="k"))
    newer = engine.submit(Request(("ab",), document_id="k"))
    cancel.cancel()
    for gone in (cancelled, older):
        with pytest.raises(RequestCancelled):
            gone.result(10)
    hold.set()
    assert newer.result(10).candidates[0].text == "1"
    engine.close()


def test_torch_is_not_needed() -> None:
    program = "import sys, lacuna_inference.remote.engine; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("ready", [httpx.Response(401), httpx.Response(404), httpx.Response(200, json={"data": ["m"]})])
def test_waiting_requests_are_answered_when_the_server_is_unsuitable(ready: httpx.Response) -> None:
    engine = engine_with(lambda _: ready)
    with pytest.raises(EngineUnavailable):
        engine.submit(REQUEST_HERE).result(10)
    assert engine.state.phase is Phase.FAILED
    engine.close()


@pytest.mark.parametrize("token", ["secret\nsecond", "sécret"])
def test_a_token_that_cannot_be_sent_is_not_shown(token: str) -> None:
    with pytest.raises(BadRequest, match="token") as failed:
        RemoteEngine(RemoteOptions("http://server", token=token))
    assert token[:4] not in str(failed.value)


def test_an_invalid_address() -> None:
    with pytest.raises(BadRequest, match="no address"):
        RemoteEngine(RemoteOptions("http://host:port"))


def test_an_answer_without_choices_is_empty() -> None:
    engine = engine_with(lambda _: httpx.Response(200, json={"data": [{"id": "m"}], "choices": []}))
    assert engine.submit(REQUEST_HERE).result(10).candidates[0].text == ""
    engine.close()


def test_a_password_in_the_address_is_never_shown() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    options = RemoteOptions("http://user:secret@server:5000/base/", "openai")
    engine = RemoteEngine(options, httpx.MockTransport(refuse))
    unreachable = threading.Event()
    engine.watch(lambda state: unreachable.set() if state.phase is Phase.UNREACHABLE else None)
    engine.start()
    assert unreachable.wait(10)
    assert "http://server:5000/base does not answer" in engine.state.message
    assert "secret" not in f"{engine.state}"
    engine.close()


@pytest.mark.parametrize(
    "request_of_ours",
    [
        Request(("<fim_prefix>",), raw=Raw.YES),
        Request(("x",), tokenize=TokenizeOptions()),
        Request(("x",), prompt_logprobs=0),
        Request(("x",), top_logprobs=2),
        Request(("x", ""), sampling=Sampling(frequency_penalty=1.0)),
    ],
)
def test_requests_that_other_servers_cannot_answer_are_rejected(request_of_ours: Request) -> None:
    engine = engine_with(lambda _: httpx.Response(200, json={"data": [{"id": "m"}], "choices": [{"text": "x"}]}))
    with pytest.raises(BadRequest, match="do not support"):
        engine.submit(request_of_ours).result(20)
    engine.close()
    assert request_from_json(json.loads(json.dumps(request_to_json(request_of_ours)))) == request_of_ours
