"""Answers in the shapes of the servers whose interfaces are implemented, and how each dialect treats a prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from helpers import echoing_decoder, scripted_decoder
from serving import sent_events, server, until

from lacuna_server.http.gateway import GatewayLimits

LLAMA_SERVER = json.loads((Path(__file__).parents[2] / "data/http/llama-server-answers.json").read_text())
BUILT = "<fim_prefix>a\n<fim_suffix>\n<fim_middle>"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with server(decoder=scripted_decoder("x = 1", "starcoder")) as opened:
        yield opened


@pytest.fixture(scope="module")
def endless() -> Iterator[httpx.Client]:
    with server(decoder=echoing_decoder()) as opened:
        yield opened


def post(client: httpx.Client, path: str, **body: Any) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def refused(client: httpx.Client, path: str, **body: Any) -> str:
    response = client.post(path, json=body)
    assert response.status_code == 400, response.text
    return str(response.json()["error"]["message"])


def assert_shaped(ours: Any, theirs: Any, path: str = "") -> None:
    """Asserts that `ours` has everything that `theirs` has, with the same types."""
    if isinstance(theirs, dict):
        for name, value in theirs.items():
            assert name in ours, f"{path}/{name}"
            assert_shaped(ours[name], value, f"{path}/{name}")
    elif isinstance(theirs, list) and theirs:
        assert ours, path
        assert_shaped(ours[0], theirs[0], path)
    else:
        number = isinstance(theirs, (int, float)) and not isinstance(theirs, bool)
        assert isinstance(ours, (int, float) if number else type(theirs)), path


@pytest.mark.parametrize("path", ["/props", "/slots", "/v1/models"])
def test_llama_cpp_s_server_information(path: str, client: httpx.Client) -> None:
    assert_shaped(client.get(path).json(), LLAMA_SERVER[f"GET {path}"])
    assert client.get("/props").json()["default_generation_settings"]["n_ctx"] == 512


def test_llama_cpp_s_tokens(client: httpx.Client) -> None:
    found = post(client, "/tokenize", content=BUILT)
    assert_shaped(found, LLAMA_SERVER["POST /tokenize"])
    assert len(found["tokens"]) == 6
    assert len(post(client, "/tokenize", content=BUILT, parse_special=False)["tokens"]) == len(BUILT)
    tokenized = post(client, "/tokenize", content="aé", with_pieces=True)
    assert_shaped(tokenized, LLAMA_SERVER["POST /tokenize with_pieces"])
    assert "".join(token["piece"] for token in tokenized["tokens"]) == "aé"
    assert post(client, "/detokenize", tokens=found["tokens"]) == {"content": BUILT}
    assert post(client, "/tokenize") == {"tokens": []}
    assert post(client, "/detokenize") == {"content": ""}
    assert "does not know" in refused(client, "/detokenize", tokens=[10**6])


def test_the_begin_of_text_token_is_added_on_request(endless: httpx.Client) -> None:
    bare, with_begin = (post(endless, "/tokenize", content="a", add_special=add)["tokens"] for add in (False, True))
    assert with_begin[1:] == bare
    assert post(endless, "/tokenize", content="<|endoftext|>a", add_special=True)["tokens"] == with_begin


@pytest.mark.parametrize("path", ["/completion", "/completions"])
def test_llama_cpp_s_completion(path: str, client: httpx.Client) -> None:
    answer = post(client, path, prompt=BUILT)
    assert_shaped(answer, LLAMA_SERVER["POST /completion"])
    assert (answer["content"], answer["stop_type"], answer["prompt"]) == ("x = 1", "eos", BUILT)
    assert answer["tokens_evaluated"] == 6
    cut = post(client, path, prompt=BUILT, n_predict=2, response_fields=["content", "generation_settings/n_predict"])
    assert cut == {"content": "x ", "generation_settings/n_predict": 2}
    *events, end = map(json.loads, sent_events(client.post(path, json={"prompt": BUILT, "stream": True})))
    assert "".join(event["content"] for event in events) == "x = 1"
    assert end["stop"]
    several = post(client, path, prompt=[BUILT, BUILT], max_tokens=1)
    assert [(one["index"], one["content"]) for one in several] == [(0, "x"), (1, "x")]
    ids = post(client, "/tokenize", content=BUILT)["tokens"]
    assert post(client, path, prompt=ids)["content"] == "x = 1"
    assert post(client, path, prompt=[ids, BUILT])[0]["content"] == "x = 1"
    assert "prompt" in refused(client, path, n_predict=2)
    assert "not streamed" in refused(client, path, prompt=["a", "b"], stream=True)
    assert "logprobs" in refused(client, path, prompt="a", n_probs=3)


LENIENT = {"t_max_predict_ms": -1, "temperature": -1, "top_p": 0, "top_k": -1, "seed": 2**32 - 1, "stop": " ="}


def test_llama_cpp_s_default_values_are_accepted(client: httpx.Client) -> None:
    assert post(client, "/infill", input_prefix="a\n", input_suffix="\n", **LENIENT)["content"] == "x"
    assert post(client, "/completion", prompt=BUILT, **LENIENT)["content"] == "x"


def test_an_error_in_llama_cpp_s_format(client: httpx.Client) -> None:
    error = client.post("/completion", json={"n_predict": 2}).json()
    assert_shaped(error, LLAMA_SERVER["error"])


def test_which_requests_mark_a_prompt_as_raw(client: httpx.Client) -> None:
    def read(path: str, **body: Any) -> int:
        answer = post(client, path, **body)
        found = answer.get("usage", answer)
        return int(next(found[k] for k in ("prompt_tokens", "prompt_eval_count", "tokens_evaluated") if k in found))

    as_text = len(BUILT)
    assert read("/v1/completions", prompt=BUILT) == 6
    assert read("/v1/completions", prompt=BUILT, suffix="\n") > as_text
    assert read("/api/generate", prompt=BUILT, raw=True, stream=False) == 6
    assert read("/api/generate", prompt=BUILT, stream=False) == 6
    assert read("/api/generate", prompt=BUILT, suffix="\n", stream=False) > as_text
    assert read("/completion", prompt=BUILT) == 6
    assert read("/infill", prompt=BUILT, input_suffix="\n") > as_text
    assert read("/", data=BUILT) > as_text - 5
    assert read("/", data=BUILT, suffix="\n") > as_text


def test_a_raw_prompt_keeps_its_line_ends(client: httpx.Client) -> None:
    built = BUILT.replace("\n", "\r\n")
    assert post(client, "/completion", prompt=built)["tokens_evaluated"] == 8
    assert post(client, "/api/generate", prompt=built, raw=True, stream=False)["prompt_eval_count"] == 8


def test_a_prompt_that_is_too_long_is_an_error_message(client: httpx.Client) -> None:
    long = BUILT.replace("a", "a" * 600)
    assert "605 tokens, and the model's context 512" in refused(client, "/completion", prompt=long)
    assert "605 tokens" in refused(client, "/v1/completions", prompt=long)


def test_openai_s_prompts_of_all_kinds(client: httpx.Client) -> None:
    ids = post(client, "/tokenize", content=BUILT)["tokens"]
    for prompt in (BUILT, [BUILT], ids, [ids], [BUILT, BUILT], [ids, ids]):
        answer = post(client, "/v1/completions", prompt=prompt, max_tokens=3)
        choices = answer["choices"]
        several = len(prompt) if prompt in ([BUILT, BUILT], [ids, ids]) else 1
        assert [(choice["index"], choice["text"]) for choice in choices] == [(n, "x =") for n in range(several)]
        assert answer["usage"]["prompt_tokens"] == 6 * several
    both = post(client, "/v1/completions", prompt=[ids, ids], max_tokens=2, n=2, echo=True)
    assert [choice["text"] for choice in both["choices"]] == [f"{BUILT}x "] * 4
    assert both["usage"]["completion_tokens"] == 8


def test_several_prompts_of_a_session_do_not_replace_each_other(client: httpx.Client) -> None:
    choices = post(client, "/v1/completions", prompt=[BUILT] * 8, session="s")["choices"]
    assert [choice["text"] for choice in choices] == ["x = 1"] * 8


def test_more_prompts_than_may_wait_take_turns() -> None:
    with server(decoder=scripted_decoder("x = 1", "starcoder"), limits=GatewayLimits(waiting=2)) as small:
        choices = post(small, "/v1/completions", prompt=[BUILT] * 6)["choices"]
        assert [choice["text"] for choice in choices] == ["x = 1"] * 6


def test_one_invalid_prompt_fails_the_whole_request(client: httpx.Client) -> None:
    assert "605 tokens" in refused(client, "/v1/completions", prompt=[BUILT, BUILT.replace("a", "a" * 600), BUILT])
    until(lambda: client.get("/slots").json()[0]["is_processing"] is False)


def test_openai_s_best_of(endless: httpx.Client) -> None:
    body = {"prompt": "a", "temperature": 9, "max_tokens": 4, "seed": 1, "logprobs": 0}
    found = [sum(c["logprobs"]["token_logprobs"]) for c in post(endless, "/v1/completions", n=6, **body)["choices"]]
    best = post(endless, "/v1/completions", n=2, best_of=6, **body)
    assert [sum(c["logprobs"]["token_logprobs"]) for c in best["choices"]] == sorted(found, reverse=True)[:2]
    assert best["usage"]["completion_tokens"] == 24
    assert "less than" in refused(endless, "/v1/completions", prompt="a", n=3, best_of=2)
    assert "not streamed" in refused(endless, "/v1/completions", prompt="a", best_of=2, stream=True)


def test_openai_s_biases_and_penalties(endless: httpx.Client) -> None:
    (letter,) = post(endless, "/tokenize", content="b")["tokens"]

    def written(**more: Any) -> str:
        return str(post(endless, "/v1/completions", prompt="a", max_tokens=4, **more)["choices"][0]["text"])

    assert written() == "aaaa"
    assert written(logit_bias={str(letter): 50}) == "bbbb"
    assert written(logit_bias={str(letter): 5}) == "aaaa"
    assert written(frequency_penalty=9, logit_bias={str(letter): 9.5}) == "abab"
    assert written(presence_penalty=9, logit_bias={str(letter): 5}) == "abaa"
    for path, limit in (("/completion", "n_predict"), ("/api/generate", "options")):
        more = {"presence_penalty": 10.0}
        body = {limit: {"num_predict": 3, **more}, "stream": False} if limit == "options" else {limit: 3, **more}
        answer = post(endless, path, prompt="a", **body)
        assert "aa" not in answer.get("content", answer.get("response"))
    assert "token id" in refused(endless, "/v1/completions", prompt="a", logit_bias={"999999": 1})
    answer = post(endless, "/completion", prompt="a", n_predict=4, logit_bias=[[letter, 50]])
    assert answer["content"] == "bbbb"
    never = post(endless, "/tokenize", content="a")["tokens"][0]
    assert "a" not in post(endless, "/completion", prompt="a", n_predict=4, logit_bias=[[never, False]])["content"]


@pytest.mark.parametrize("more", [{"prompt": ["a", "b"]}, {"echo": True, "logprobs": 1}, {"prompt": [5], "echo": True}])
def test_options_that_cannot_be_streamed_are_reported(more: dict[str, Any], client: httpx.Client) -> None:
    assert "not streamed" in refused(client, "/v1/completions", **{"prompt": "a", "stream": True, **more})


def test_echo_with_logprobs_of_an_infilled_text_is_rejected_with_a_message(client: httpx.Client) -> None:
    assert "suffix" in refused(client, "/v1/completions", prompt="a", suffix="b", echo=True, logprobs=1)


def test_echo_with_logprobs_continues_with_the_answer(client: httpx.Client) -> None:
    (choice,) = post(client, "/v1/completions", prompt=BUILT, echo=True, logprobs=1)["choices"]
    logprobs = choice["logprobs"]
    assert choice["text"] == BUILT + "x = 1" == "".join(logprobs["tokens"])
    assert len(logprobs["tokens"]) == 6 + 5
    assert logprobs["token_logprobs"][0] is logprobs["top_logprobs"][0] is None
    assert logprobs["text_offset"][-1] == len(choice["text"]) - 1


def test_any_model_name_is_accepted_and_the_real_one_returned(client: httpx.Client) -> None:
    assert post(client, "/v1/completions", model="PLACEHOLDER", prompt=BUILT)["model"] == "scripted"
    assert client.get("/v1/models/other").status_code == 404


def test_ollama_s_information_endpoints(client: httpx.Client) -> None:
    (model,) = client.get("/api/tags").json()["models"]
    assert model["details"] == {
        "parent_model": "",
        "format": "safetensors",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "1.5M",
        "quantization_level": "F32",
    }
    assert len(model["digest"]) == 64
    assert client.get("/api/ps").json()["models"][0]["context_length"] == 512
    shown = post(client, "/api/show", name="any")
    assert ".Suffix" in shown["template"]
    assert shown["parameters"].split() == ["num_ctx", "512"]
    assert client.head("/").status_code == 200
    assert client.get("/api/version").json()["version"]


def test_an_image_is_rejected_with_a_message(client: httpx.Client) -> None:
    response = client.post("/api/generate", json={"prompt": "a", "images": ["aGk="]})
    assert (response.status_code, "images" in response.json()["error"]) == (400, True)


def test_callers_see_the_model_s_alias() -> None:
    with server("x", alias="coder") as client:
        assert client.get("/v1/models").json()["data"][0]["id"] == "coder"
        assert client.get("/v1/models/coder").status_code == 200
        assert client.get("/api/tags").json()["models"][0]["name"] == "coder"
        assert client.get("/props").json()["model_alias"] == "coder"
        assert post(client, "/v1/completions", model="other", prompt="a\n", suffix="\n")["model"] == "coder"
        assert post(client, "/", data="a\n", suffix="\n")["model"] == "coder"
