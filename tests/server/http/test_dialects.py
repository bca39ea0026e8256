"""What each dialect accepts and answers, with a scripted model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from helpers import echoing_decoder
from serving import sent_events, server

from lacuna_server.http.gateway import GatewayLimits

CODE = "def f():\n"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with server("return 1") as opened:
        yield opened


@pytest.fixture(scope="module")
def long() -> Iterator[httpx.Client]:
    with server("x = 1\ny = 2\n# STOP\nz = 3") as opened:
        yield opened


def post(client: httpx.Client, path: str, **body: Any) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_the_original_interface_still_works() -> None:
    with server("pass", decoder=None) as client:
        answer = post(client, "/", data=CODE, suffix="\n")
        assert (answer["completion"], answer["text"]) == ("pass", CODE + "pass\n")
        put = client.put("/", data={"data": CODE, "suffix": "\n"})
        assert put.json() == CODE + "pass\n"
        bare = client.post("/", json={"data": CODE, "suffix": "\n"}, headers={"Accept": "text/plain"})
        assert (bare.text, bare.headers["content-type"]) == (CODE + "pass\n", "text/plain; charset=utf-8")


def test_a_form_as_curl_sends_it(client: httpx.Client) -> None:
    raw = client.put(
        "/", content="data=# prints hello\n&suffix=\n", headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert raw.json() == "# prints hello\nreturn 1\n"


def test_several_holes_and_candidates(client: httpx.Client) -> None:
    answer = post(client, "/", parts=["a\n", "\nb\n", "\n"], n=2)
    assert answer["fills"] == [["return 1", "return 1"]] * 2
    assert answer["text"] == "a\nreturn 1\nb\nreturn 1\n"


def test_patterns_and_stops_end_an_answer(long: httpx.Client) -> None:
    assert post(long, "/", data=CODE, suffix="\n", stop="# STOP")["completion"] == "x = 1\ny = 2\n"
    cut = post(long, "/", data=CODE, suffix="\n", truncate_before_pattern=["^y", "^#"])
    assert cut["completion"] == "x = 1\n"


def test_a_catastrophic_pattern_does_not_hang_the_server(long: httpx.Client) -> None:
    response = long.post(
        "/", json={"data": CODE, "suffix": "\n", "truncate_before_pattern": [r"(x|x|.|\s)*(\w+\s?)+\1$!"]}
    )
    assert response.status_code in (200, 400)
    assert post(long, "/", data=CODE, suffix="\n", stop="\n")["completion"] == "x = 1"


def test_streamed_tokens_have_probabilities(client: httpx.Client) -> None:
    response = client.post("/", json={"data": CODE, "suffix": "\n", "stream": True, "alternatives": 3})
    *events, end = map(json.loads, sent_events(response))
    assert "".join(event["text"] for event in events) == "return 1" == end["completion"]
    assert end["done"]
    assert all(len(event["alternatives"]) == 3 and 0 <= event["probability"] <= 1 for event in events)


def test_openai_s_completions(client: httpx.Client) -> None:
    answer = post(client, "/v1/completions", prompt=CODE, suffix="\n", echo=False, n=2, logprobs=1, seed=-3)
    assert [choice["text"] for choice in answer["choices"]] == ["return 1"] * 2
    assert answer["choices"][0]["finish_reason"] == "stop"
    logprobs = answer["choices"][0]["logprobs"]
    assert "".join(logprobs["tokens"]) == "return 1"
    assert len(logprobs["tokens"]) == len(logprobs["token_logprobs"]) == len(logprobs["text_offset"])
    assert answer["usage"]["completion_tokens"] == 16
    cut = post(client, "/v1/completions", prompt=CODE, suffix="\n", max_tokens=3, echo=True)
    assert (cut["choices"][0]["text"], cut["choices"][0]["finish_reason"]) == (CODE + "ret", "length")


def test_openai_s_stream_equals_its_answer(client: httpx.Client) -> None:
    body = {"prompt": CODE, "suffix": "\n", "stream": True, "stream_options": {"include_usage": True}, "echo": True}
    *chunks, done = sent_events(client.post("/v1/completions", json=body))
    found = [json.loads(chunk) for chunk in chunks]
    assert done == "[DONE]"
    assert "".join(chunk["choices"][0]["text"] for chunk in found[:-1]) == CODE + "return 1"
    assert found[-2]["choices"][0]["finish_reason"] == "stop"
    assert found[-1]["usage"]["completion_tokens"] == 8


def test_token_ids_are_used_as_the_prompt_unchanged(client: httpx.Client) -> None:
    answer = post(client, "/v1/completions", prompt=[5, 6, 7], max_tokens=2)
    assert answer["usage"]["prompt_tokens"] == 3
    assert client.post("/v1/completions", json={"prompt": [5], "suffix": "x"}).status_code == 400
    unknown = client.post("/v1/completions", json={"prompt": [10**9]})
    assert (unknown.status_code, "token id" in unknown.text) == (400, True)


def test_offsets_continue_through_a_stream(client: httpx.Client) -> None:
    body = {"prompt": CODE, "suffix": "\n", "stream": True, "logprobs": 1}
    *chunks, _ = sent_events(client.post("/v1/completions", json=body))
    found = [json.loads(chunk)["choices"][0]["logprobs"] for chunk in chunks]
    assert [one["text_offset"] for one in found if one] == [[n] for n in range(8)]


def test_null_means_not_given(client: httpx.Client) -> None:
    body = {"input_prefix": "a\n", "input_suffix": "\n", "stream": None, "n_predict": None, "temperature": None}
    assert post(client, "/infill", **body)["content"] == "return 1"
    ollama_body = {"prompt": CODE, "suffix": "\n", "stream": False, "options": {"temperature": None}}
    assert post(client, "/api/generate", **ollama_body)["response"] == "return 1"


def test_form_fields_may_be_repeated(long: httpx.Client) -> None:
    form = {"data": CODE, "suffix": "\n", "stop": ["y", "z"], "truncate_before_pattern": ["^#"]}
    assert long.put("/", data=form).json() == CODE + "x = 1\n\n"


def test_a_request_outside_the_engine_s_limits(client: httpx.Client) -> None:
    sound = {"parts": ["a\n", "\n"]}
    assert client.post("/lacuna/answer", json=sound).status_code == 200
    stops = ({"stop": {"max_tokens": -9}}, {"stop": {"max_lines": 0}})
    for wrong in (*stops, {"sampling": {"seed": -1}}, {"ids": [-5]}, {"candidates": 99}):
        assert client.post("/lacuna/answer", json={**sound, **wrong}).status_code == 400


def test_llama_cpp_s_infill(long: httpx.Client) -> None:
    body = {"input_prefix": "a\n", "prompt": "", "input_suffix": "\nb", "n_predict": 4, "input_extra": [{"text": "q"}]}
    answer = post(long, "/infill", **body)
    assert (answer["content"], answer["stop_type"], answer["stop"]) == ("x = ", "limit", True)
    assert post(long, "/infill", **{**body, "n_predict": 0})["content"] == ""
    again = post(long, "/infill", **body)
    assert again["timings"]["prompt_n"] == 0
    events = list(map(json.loads, sent_events(long.post("/infill", json={**body, "stream": True}))))
    assert "".join(event["content"] for event in events) == "x = "
    assert events[-1]["stop"]


def test_ollama_s_generate(client: httpx.Client) -> None:
    body = {"model": "any", "prompt": CODE, "suffix": "\n"}
    lines = [json.loads(line) for line in client.post("/api/generate", content=json.dumps(body)).text.splitlines()]
    assert "".join(line["response"] for line in lines) == "return 1"
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert post(client, "/api/generate", **body, stream=False)["response"] == "return 1"


def test_served_models_are_listed(client: httpx.Client) -> None:
    assert client.get("/v1/models").json()["data"][0]["id"] == "scripted"
    assert client.get("/v1/models/other").json()["error"]["type"] == "invalid_request_error"
    assert client.get("/api/tags").json()["models"][0]["name"] == "scripted"
    assert "curl" in client.get("/").text
    assert "<html" in client.get("/", headers={"Accept": "text/html"}).text


def test_the_metrics_count(client: httpx.Client) -> None:
    post(client, "/", data=CODE, suffix="\n")
    text = client.get("/metrics").text
    assert 'lacuna_requests_total{path="/",status="200"}' in text
    assert 'lacuna_tokens_total{kind="generated"}' in text
    assert "lacuna_request_seconds_bucket" in text
    assert "def f" not in text


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/", b"{", 422),
        ("/", b"[]", 422),
        ("/", b"{}", 422),
        ("/", b'{"data": 1}', 422),
        ("/", b'{"data": "\xff"}', 422),
        ("/", b'{"data": "\\ud83d"}', 422),
        ("/", b'{"data": "x", "max_tokens": -1}', 422),
        ("/", b'{"data": "x", "temperature": NaN}', 422),
        ("/", b'{"data": "x", "temperature": 1e400}', 422),
        ("/", b'{"data": "x", "n": 1000}', 422),
        ("/", b'{"data": "x", "truncate_before_pattern": ["("]}', 422),
        ("/", b'{"data": "x", "parts": ["y"]}', 422),
        ("/", b"[" * 100_000, 422),
        ("/v1/completions", b'{"prompt": {}}', 400),
        ("/v1/completions", b'{"prompt": [-1]}', 400),
        ("/infill", b"nonsense", 400),
        ("/api/generate", b'{"prompt": 7}', 422),
        ("/nowhere", b"{}", 404),
        ("/metrics", b"", 405),
    ],
)
def test_garbage_gets_a_status_and_a_message(path: str, body: bytes, status: int, client: httpx.Client) -> None:
    response = client.post(path, content=body, headers={"content-type": "application/json"})
    error = response.json()["error"]
    assert response.status_code == status
    assert isinstance(error["message"] if isinstance(error, dict) else error, str)
    assert post(client, "/", data=CODE, suffix="\n")["completion"] == "return 1"


def test_empty_text_is_text(client: httpx.Client) -> None:
    assert post(client, "/", data="", suffix="")["completion"] == "return 1"


def test_a_text_longer_than_the_context_is_reported(client: httpx.Client) -> None:
    answer = post(client, "/", data="x = 1\n" * 5000, suffix="\n", max_tokens=8)
    assert (answer["completion"], answer["truncated"]) == ("return 1", True)
    assert "longer than the model's context" in answer["note"]
    assert not post(client, "/", data=CODE, suffix="\n")["truncated"]


def test_a_body_that_is_too_large(client: httpx.Client) -> None:
    response = client.post("/", json={"data": "x" * 9_000_000})
    assert response.status_code == 413
    assert "bytes" in response.json()["error"]


def test_a_model_s_languages_limit_only_the_native_dialect() -> None:
    body = {"data": "func main() {\n", "suffix": "\n"}
    with server("return 1", languages=("python",)) as client:
        assert client.get("/health/ready").json()["languages"] == ["python"]
        for named in ({"language": "go"}, {"path": "main.go"}, {"language": "Go", "path": "x.py"}):
            refused = client.post("/", json={**body, **named})
            assert (refused.status_code, "Python only" in refused.json()["error"]) == (400, True), named
        assert client.put("/", data={**body, "language": "go"}).status_code == 400
        for named in ({}, {"language": "Python"}, {"path": "a.py"}, {"language": "plaintext", "path": "a.py"}):
            assert client.post("/", json={**body, **named}).json()["completion"] == "return 1", named
        assert post(client, "/v1/completions", prompt="package main\n", suffix="\n")["choices"][0]["text"] == "return 1"
    with server("return 1", languages=("python",), limits=GatewayLimits(languages={"go": True})) as client:
        assert post(client, "/", **body, language="go")["completion"] == "return 1"


@pytest.mark.parametrize("wanted", [495, 512, 1024, 100_000])
def test_max_tokens_beyond_the_room_is_limited(wanted: int, client: httpx.Client) -> None:
    answer = post(client, "/", data=CODE, suffix="\n", max_tokens=wanted)
    assert answer["completion"] == "return 1"
    assert "fewer than requested" in answer.get("note", "") or wanted < 500
    answer = post(client, "/v1/completions", prompt=CODE, suffix="\n", max_tokens=wanted)
    assert (answer["choices"][0]["text"], answer["choices"][0]["finish_reason"]) == ("return 1", "stop")
    assert post(client, "/infill", input_prefix=CODE, input_suffix="\n", n_predict=wanted)["content"] == "return 1"
    body = {"prompt": CODE, "suffix": "\n", "stream": False, "options": {"num_predict": wanted}}
    assert post(client, "/api/generate", **body)["response"] == "return 1"


def test_an_endless_answer_is_cut_by_the_context_and_reports_it() -> None:
    with server(decoder=echoing_decoder()) as client:
        answer = post(client, "/v1/completions", prompt="a\n", suffix="\n", max_tokens=4000)
        assert answer["choices"][0]["finish_reason"] == "length"
        assert 400 < answer["usage"]["completion_tokens"] < 512
        assert post(client, "/infill", input_prefix="a\n", input_suffix="\n", n_predict=4000)["stop_type"] == "limit"


WINDOWS = "def f():\r\n    a()\r\n"


def test_a_text_with_crlf_gets_an_answer_with_crlf(long: httpx.Client) -> None:
    written = "x = 1\r\ny = 2\r\n# STOP\r\nz = 3"
    answer = post(long, "/", data=WINDOWS, suffix="\r\n")
    assert answer["completion"] == written
    assert answer["text"] == WINDOWS + written + "\r\n"
    assert long.put("/", data={"data": WINDOWS, "suffix": "\r\n"}).json() == answer["text"]
    assert post(long, "/v1/completions", prompt=WINDOWS, suffix="\r\n")["choices"][0]["text"] == written
    assert post(long, "/infill", input_prefix=WINDOWS, input_suffix="\r\n")["content"] == written
    ollama_body = {"prompt": WINDOWS, "suffix": "\r\n", "stream": False}
    assert post(long, "/api/generate", **ollama_body)["response"] == written


def test_a_stream_for_a_text_with_crlf_has_crlf(long: httpx.Client) -> None:
    events = sent_events(long.post("/", json={"data": WINDOWS, "suffix": "\r\n", "stream": True}))
    *events, end = map(json.loads, events)
    assert "".join(event["text"] for event in events) == end["completion"] == "x = 1\r\ny = 2\r\n# STOP\r\nz = 3"


def test_a_stop_of_a_text_with_crlf_is_found(long: httpx.Client) -> None:
    assert post(long, "/", data=WINDOWS, suffix="\r\n", stop="\r\n")["completion"] == "x = 1"
    assert post(long, "/", data=WINDOWS, suffix="\r\n", stop="\n# STOP")["completion"] == "x = 1\r\ny = 2"


@pytest.mark.parametrize("data", ["a\nb\nc\r\n", "a\n", "", "a\r\nb\n"])
def test_other_texts_get_an_answer_with_lf(data: str, long: httpx.Client) -> None:
    answer = post(long, "/", data=data, suffix="\n")
    assert "\r" not in answer["completion"]
    assert answer["text"] == data + answer["completion"] + "\n"
