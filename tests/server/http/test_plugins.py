"""Requests as editor plugins send them, to a model of the family each is set up for, and official clients.

What a plugin sends is taken from its source, which each file in `tests/data/http` names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import ollama
import openai
import pytest
from helpers import scripted_decoder
from serving import sent_events, server

RECORDED = sorted(
    file
    for file in (Path(__file__).parents[2] / "data/http").glob("*.json")
    if "family" in json.loads(file.read_text())
)
FILL = "return total / len(values)"


def text_of(path: str, response: httpx.Response) -> str:
    """The text of an answer in the endpoint's format, streamed or not."""
    assert response.status_code == 200, response.text
    kind = response.headers["content-type"]
    if "event-stream" in kind:
        found = [json.loads(event) for event in sent_events(response) if event != "[DONE]"]
    elif "ndjson" in kind:
        found = [json.loads(line) for line in response.text.splitlines()]
    else:
        found = [response.json()]
    return "".join(_text(path, event) for event in found)


def _text(path: str, event: dict[str, Any]) -> str:
    if path == "/v1/completions":
        return str(event["choices"][0]["text"])
    return str(event["response"] if path == "/api/generate" else event["content"])


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_a_plugin_s_request_is_infilled(file: Path) -> None:
    recorded = json.loads(file.read_text())
    body, text = recorded["body"], recorded["body"]["prompt"]
    line = text[text.rfind("\n") + 1 :] if {"suffix", "input_suffix"} & set(body) else ""
    written_again = line if line.strip() else ""  # a word is healed, indentation stays in the prompt
    with server(decoder=scripted_decoder(written_again + FILL, recorded["family"])) as client:
        response = client.post(recorded["path"], json=body)
        expected = "" if body.get("n_predict") == 0 else FILL
        assert text_of(recorded["path"], response) == expected


@pytest.fixture(scope="module")
def served() -> Iterator[httpx.Client]:
    with server("return 1") as opened:
        yield opened


def test_ollama_s_client(served: httpx.Client) -> None:
    client = ollama.Client(str(served.base_url))
    (listed,) = client.list().models
    assert listed.model == "scripted"
    assert listed.details
    assert all(isinstance(getattr(listed.details, name), str) for name in ("format", "family", "parameter_size"))
    shown = client.show("anything")
    assert shown.capabilities == ["completion", "insert"]
    assert client.ps().models[0].model == "scripted"
    answer = client.generate("anything", "def f():\n", suffix="\n")
    assert (answer.response, answer.done_reason, answer.model) == ("return 1", "stop", "anything")
    streamed = client.generate("anything", "def f():\n", suffix="\n", stream=True)
    assert "".join(event.response for event in streamed) == "return 1"
    with pytest.raises(ollama.ResponseError, match="no suffix"):
        client.generate("anything", "x", suffix="y", raw=True)


@pytest.mark.parametrize(("keep_alive", "reason"), [(None, "load"), ("5m", "load"), (0, "unload"), ("0s", "unload")])
def test_ollama_s_client_loads_and_unloads(keep_alive: Any, reason: str, served: httpx.Client) -> None:
    answer = ollama.Client(str(served.base_url)).generate("anything", keep_alive=keep_alive)
    assert (answer.response, answer.done, answer.done_reason) == ("", True, reason)


def test_openai_s_client_with_several_prompts(served: httpx.Client) -> None:
    client = openai.OpenAI(base_url=f"{served.base_url}/v1", api_key="none")
    answer = client.completions.create(model="gpt-any", prompt=["a\n", "b\n"], suffix="\n", n=2)
    assert [(choice.index, choice.text) for choice in answer.choices] == [(n, "return 1") for n in range(4)]
    assert answer.model == "scripted"
    assert answer.usage
    assert answer.usage.completion_tokens == 32


def test_openai_s_client_scores_a_prompt(served: httpx.Client) -> None:
    client = openai.OpenAI(base_url=f"{served.base_url}/v1", api_key="none")
    answer = client.completions.create(model="m", prompt="abc", echo=True, logprobs=2, max_tokens=0)
    (choice,) = answer.choices
    assert (choice.text, choice.finish_reason) == ("abc", "length")
    assert choice.logprobs
    assert choice.logprobs.tokens == ["a", "b", "c"]
    assert choice.logprobs.text_offset == [0, 1, 2]
    assert choice.logprobs.token_logprobs
    assert choice.logprobs.token_logprobs[0] is None
    assert all(value is not None and value < 0 for value in choice.logprobs.token_logprobs[1:])
