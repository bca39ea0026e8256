"""What the engine sends to each kind of server for a request: ids, holes, candidates, stops, sentinels."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import CompletionResult, Request, Sampling, Stop, StopReason
from lacuna_inference.errors import BadRequest, EngineUnavailable
from lacuna_inference.prompt.families import FAMILIES, by_name
from lacuna_inference.remote.engine import RemoteEngine, RemoteOptions
from lacuna_inference.remote.prompt import CHARACTERS_PER_TOKEN, around, as_text

Body = dict[str, Any]
ANSWERS: dict[str, Callable[[str], Body]] = {
    "openai": lambda text: {"choices": [{"text": text, "finish_reason": "stop"}]},
    "llama.cpp": lambda text: {"content": text, "stop_type": "word"},
    "ollama": lambda text: {"response": text, "done": True, "done_reason": "stop"},
    "tgi": lambda text: {"generated_text": text},
    "tabby": lambda text: {"choices": [{"index": 0, "text": text}]},
}
"""How each kind of server answers with a text."""
MODELS = {"data": [{"id": "m"}], "models": [{"name": "m"}], "model": "m"}
SAMPLED = Sampling(0.8, 0.9)


def exchange(
    kind: str,
    request: Request,
    answer: Callable[[str, Body], httpx.Response | str] = lambda _, __: "1",
    models: Body = MODELS,
    **options: Any,
) -> tuple[CompletionResult, list[tuple[str, Body]]]:
    """The engine's completions, and the paths and bodies sent to a server that answers `answer(path, body)`."""
    posts: list[tuple[str, Body]] = []

    def handle(http: httpx.Request) -> httpx.Response:
        if http.method == "GET":
            return httpx.Response(200, json=models)
        posts.append((http.url.path, json.loads(http.content)))
        answered = answer(*posts[-1])
        return httpx.Response(200, json=ANSWERS[kind](answered)) if isinstance(answered, str) else answered

    engine = RemoteEngine(RemoteOptions("http://server", kind, **options), httpx.MockTransport(handle))
    try:
        return engine.submit(request).result(10), posts
    finally:
        engine.close()


def prompt_of(body: Body) -> str:
    """All text that a server is shown."""
    segments = body.get("segments", {})
    return "".join(body.get(k, "") for k in ("input_prefix", "prompt", "suffix", "input_suffix", "inputs")) + "".join(
        segments.get(k, "") for k in ("prefix", "suffix")
    )


@pytest.mark.parametrize(("kind", "path"), [("openai", "/v1/completions"), ("llama.cpp", "/completion")])
def test_token_ids_are_sent_where_a_server_takes_them(kind: str, path: str) -> None:
    _, posts = exchange(kind, Request(("",), ids=(5, 6, 7)))
    assert [(where, body["prompt"]) for where, body in posts] == [(path, [5, 6, 7])]


@pytest.mark.parametrize("kind", ["tgi", "ollama", "tabby"])
def test_token_ids_are_rejected_where_a_server_accepts_only_text(kind: str) -> None:
    with pytest.raises(BadRequest, match="not take token ids"):
        exchange(kind, Request(("",), ids=(5, 6, 7)))


@pytest.mark.parametrize("kind", ANSWERS)
def test_several_holes_are_filled_in_order(kind: str) -> None:
    numbers = iter("123")
    request = Request(("a = ", "\nb = ", "\nc = ", "\n"))
    completions, _ = exchange(kind, request, lambda _, __: next(numbers), family="starcoder")
    assert [[fill.text for fill in candidate.fills] for candidate in completions.candidates] == [["1", "2", "3"]]


def test_a_hole_is_requested_with_those_before_it_filled() -> None:
    _, posts = exchange("llama.cpp", Request(("a = ", "\nb = ", "\n")))
    shown = [(body["input_prefix"], body["input_suffix"]) for _, body in posts]
    assert shown == [("a = ", "\nb = \n"), ("a = 1\nb = ", "\n")]


@pytest.mark.parametrize("kind", ANSWERS)
def test_the_requested_number_of_candidates(kind: str) -> None:
    numbers = iter("012")
    request = Request(("a = ", "\n"), candidates=3, sampling=SAMPLED)
    completions, posts = exchange(kind, request, lambda _, __: next(numbers))
    assert sorted(candidate.text for candidate in completions.candidates) == ["0", "1", "2"]
    alone = [body for _, body in posts if body.get("n", 1) == 1]
    seeds = {(body | body.get("options", {}) | body.get("parameters", {}))["seed"] for body in alone}
    assert len(seeds) == len(alone)


def test_several_candidates_are_one_request_where_the_server_supports_it() -> None:
    def answer(_: str, body: Body) -> httpx.Response:
        return httpx.Response(200, json={"choices": [{"text": str(number)} for number in range(body["n"])]})

    completions, posts = exchange("openai", Request(("a = ", "\n"), candidates=3, sampling=SAMPLED), answer)
    assert [candidate.text for candidate in completions.candidates] == ["0", "1", "2"]
    assert [body["n"] for _, body in posts] == [3]


def test_several_candidates_are_several_requests_where_the_server_rejects_one() -> None:
    refusal = {"error": {"code": 400, "message": "Field 'n': Value must be between 1 <= value <= 2, but got 3"}}
    numbers = iter("abc")

    def answer(_: str, body: Body) -> httpx.Response | str:  # as llama.cpp with two slots
        return next(numbers) if body["n"] == 1 else httpx.Response(400, json=refusal)

    sampling = Sampling(0.8, seed=7)
    completions, posts = exchange("openai", Request(("a = ", "\n"), candidates=3, sampling=sampling), answer)
    assert sorted(candidate.text for candidate in completions.candidates) == ["a", "b", "c"]
    assert [body["seed"] for _, body in posts] == [7, 7, 8, 9]


def test_one_answer_is_better_than_none() -> None:
    numbers: Iterator[httpx.Response | str] = iter([httpx.Response(503), httpx.Response(503), "1"])
    completions, _ = exchange("tgi", Request(("a",), candidates=3, sampling=SAMPLED), lambda _, __: next(numbers))
    assert [candidate.text for candidate in completions.candidates] == ["1"]


def test_greedy_candidates_are_requested_once() -> None:
    completions, posts = exchange("openai", Request(("a", ""), candidates=3))
    assert (len(completions.candidates), [body["n"] for _, body in posts]) == (1, [1])


@pytest.mark.parametrize("sampling", [Sampling(), SAMPLED])
def test_candidates_that_may_be_equal_keep_their_number(sampling: Sampling) -> None:
    completions, _ = exchange("openai", Request(("a", ""), candidates=3, sampling=sampling, distinct=False))
    assert [candidate.text for candidate in completions.candidates] == ["1", "1", "1"]


def test_an_answer_that_leaves_its_hole_is_cut() -> None:
    completions, _ = exchange("llama.cpp", Request(("print(", ")\n"), "a.py"), lambda _, __: "a, b)\nprint(c)")
    (fill,) = completions.candidates[0].fills
    assert (fill.text, fill.reason) == ("a, b", StopReason.OUTSIDE)
    whole, _ = exchange("llama.cpp", Request(("print(", ")\n"), stop=Stop(outside=False)), lambda _, __: "a)\n")
    assert whole.candidates[0].text == "a)\n"


@pytest.mark.parametrize("kind", ["openai", "tgi"])
def test_the_four_most_important_stops_are_sent_and_all_are_applied(kind: str) -> None:
    stop = Stop(single_line=True, strings=("@@", "##", "!!"))
    completions, posts = exchange(
        kind, Request(("a = ", "\n"), stop=stop), lambda _, __: "1!!2", family="qwen2.5-coder"
    )
    sent = posts[0][1].get("stop") or posts[0][1]["parameters"]["stop"]
    assert sent == ["\n", "<|endoftext|>", "@@", "##"]
    (fill,) = completions.candidates[0].fills
    assert (fill.text, fill.reason) == ("1", StopReason.STOP_STRING)


def test_every_stop_is_sent_where_there_is_no_limit() -> None:
    _, posts = exchange("llama.cpp", Request(("a", "b"), stop=Stop(single_line=True)), family="qwen2.5-coder")
    assert posts[0][1]["stop"] == ["\n", *by_name("qwen2.5-coder").ends]


@pytest.mark.parametrize("kind", ["llama.cpp", "ollama"])
def test_a_server_s_own_sampling_defaults_are_switched_off(kind: str) -> None:
    """By default they cut the tail (top_k 40, min_p 0.05) and, in Ollama, penalize repeats: api/types.go."""
    _, posts = exchange(kind, Request(("a", "b"), sampling=SAMPLED), family="starcoder")
    sent = posts[0][1] | posts[0][1].get("options", {})
    assert (sent["top_k"], sent["min_p"], sent["top_p"], sent.get("repeat_penalty", 1.0)) == (0, 0.0, 0.9, 1.0)


@pytest.mark.parametrize("kind", ["openai", "tgi", "llama.cpp", "ollama"])
def test_a_requested_top_k_is_sent(kind: str) -> None:
    _, posts = exchange(kind, Request(("a", "b"), sampling=Sampling(0.8, top_k=5)), family="starcoder")
    assert (posts[0][1] | posts[0][1].get("options", {}) | posts[0][1].get("parameters", {}))["top_k"] == 5


def test_the_model_is_sent_to_a_router() -> None:
    _, posts = exchange("llama.cpp", Request(("a", "b")), model="qwen")
    assert posts[0][1]["model"] == "qwen"
    listed = {"data": [{"id": "x", "status": {"value": "unloaded"}}, {"id": "y", "status": {"value": "loaded"}}]}
    _, posts = exchange("llama.cpp", Request(("a", "b")), models=listed)  # tools/server/server-models.cpp
    assert posts[0][1]["model"] == "y"


def test_ollama_s_embedding_model_is_not_used() -> None:
    listed = {"models": [{"name": "nomic", "details": {"family": "nomic-bert"}}, {"name": "coder"}]}
    _, posts = exchange("ollama", Request(("a", "b")), models=listed)
    assert posts[0][1]["model"] == "coder"


def test_ollama_s_template_is_used_only_where_the_family_is_unknown() -> None:
    _, posts = exchange("ollama", Request(("a = ", "\n")), family="qwen2.5-coder")
    _, unknown = exchange("ollama", Request(("a = ", "\n")))
    _, alone = exchange("ollama", Request(("a = ", "")))
    assert posts[0][1].items() >= {
        ("prompt", "<|fim_prefix|>a = <|fim_suffix|>\n<|fim_middle|>"), ("raw", True), ("stream", False),
    }  # fmt: skip
    assert "suffix" not in posts[0][1]
    assert (unknown[0][1]["prompt"], unknown[0][1]["suffix"], "raw" in unknown[0][1]) == ("a = ", "\n", False)
    assert (alone[0][1]["prompt"], alone[0][1]["raw"], "suffix" in alone[0][1]) == ("a = ", True, False)


def test_a_model_without_a_suffix_in_its_template_is_an_error_with_a_remedy() -> None:
    refusal = httpx.Response(400, json={"error": '"library/m" does not support insert'})
    with pytest.raises(BadRequest, match=r"does not support insert.*--family"):
        exchange("ollama", Request(("a", "b")), lambda _, __: refusal)


@pytest.mark.parametrize("family", ["codellama", "deepseek", "codegemma", "codestral"])
@pytest.mark.parametrize("kind", ["openai", "tgi", "ollama"])
def test_the_begin_of_text_token_is_left_to_the_server(kind: str, family: str) -> None:
    begin = by_name(family).begin
    assert begin
    for parts in (("a = ", "\n"), ("a = ",)):
        _, posts = exchange(kind, Request(parts), family=family)
        assert "a = " in prompt_of(posts[0][1])
        assert begin not in prompt_of(posts[0][1])


def test_the_begin_of_text_token_is_sent_where_the_tokenizer_adds_none() -> None:
    for parts in (("a = ", "\n"), ("a = ",)):
        _, posts = exchange("openai", Request(parts), family="incoder")
        assert prompt_of(posts[0][1]).count("<|endoftext|>") == 1


@pytest.mark.parametrize("family", [None, "qwen2.5-coder", "codellama", "deepseek"])
@pytest.mark.parametrize("kind", ["openai", "tgi", "ollama", "tabby"])
def test_sentinels_in_the_text_are_not_sentinels_for_the_server(kind: str, family: str | None) -> None:
    strings = by_name(family).sentinels if family else ("<fim_middle>", "<|fim_middle|>", "<EOT>")
    plain = [string.strip("▁") for string in strings]
    _, without = exchange(kind, Request(("x = ''\ny = ", "\n")), family=family)
    _, posts = exchange(kind, Request((f"x = '{''.join(plain)}'\ny = ", f"\n{plain[-1:]}\n")), family=family)
    for string in plain:
        assert prompt_of(posts[0][1]).count(string) == prompt_of(without[0][1]).count(string), string


def test_text_is_sent_unchanged_where_the_server_parses_no_sentinels() -> None:
    text = "x = '<|fim_middle|>'\ny = "
    _, posts = exchange("llama.cpp", Request((text, "\n")), family="qwen2.5-coder")
    assert (posts[0][1]["input_prefix"], posts[0][1]["prompt"]) == (text, "")


@pytest.mark.parametrize("repeats", [lambda text: text, lambda _: "'< |fim_middle|>'"])
def test_the_answer_spells_a_sentinel_as_the_text_does(repeats: Callable[[str], str]) -> None:
    def answer(_: str, body: Body) -> str:
        return repeats(body["prompt"].split("x = ")[1].split("\n")[0])

    completions, _ = exchange("openai", Request(("x = '<|fim_middle|>'\ny = ", "\n")), answer, family="qwen2.5-coder")
    assert completions.candidates[0].text == "'<|fim_middle|>'"


@given(
    st.sampled_from([family for family in FAMILIES if family.infill]),
    st.lists(st.sampled_from("<|>｜▁ s/a\n") | st.sampled_from(["<s>", "fim_middle", "<fim_middle>", "<|mask:0|>"])),
)
def test_a_prompt_has_only_the_sentinels_of_its_layout(family: Any, parts: list[str]) -> None:
    wild = "".join(parts)
    prompt, empty = (as_text(Request((text, text)), family, 4096) for text in (wild, ""))
    for sentinel in {*family.sentinels, *family.ends}:
        assert prompt.count(sentinel) == empty.count(sentinel)


@given(
    st.lists(st.sampled_from(["\n", "x", "long " * 100]), max_size=60).map("".join),
    st.lists(st.sampled_from(["\n", "x", "long " * 100]), max_size=60).map("".join),
)
def test_the_text_next_to_the_hole_is_shown_and_uses_the_room(before: str, after: str) -> None:
    request = Request((before, after), stop=Stop(max_tokens=64))
    room = (256 - 65) * CHARACTERS_PER_TOKEN
    prefix, suffix = around(request, 256)
    assert before.endswith(prefix)
    assert after.startswith(suffix)
    assert len(prefix) + len(suffix) <= room
    assert len(suffix) >= min(len(after), room // 8)
    assert len(prefix) >= min(len(before), (room - len(suffix)) // 2)


def test_a_long_line_that_ends_in_a_line_break_is_shown() -> None:
    prefix, suffix = around(Request(("x = [" + "1, " * 3000 + "\n", "1, " * 3000 + "]\n")), 256)
    assert prefix.endswith("1, \n")
    assert suffix.startswith("1, ")


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={"error": "loading"}),
        httpx.Response(200, json={"choices": 7, "content": 7, "response": 7, "generated_text": 7}),
        httpx.Response(200, json={"choices": [{"text": None}], "content": None, "response": None}),
        httpx.Response(200, json={"choices": ["getcwd"]}),
        httpx.Response(200, json={}),
        httpx.Response(200, json=["x"]),
        httpx.Response(200, text="<html>a proxy</html>"),
        httpx.Response(200, text='{"choices": [{"text": "cut o'),
        httpx.Response(200, text="[" * 100_000),
        httpx.Response(200, content=b"\xff\xfe"),
    ],
)
def test_a_malformed_answer_is_a_one_line_error(kind: str, answer: httpx.Response) -> None:
    with pytest.raises(EngineUnavailable, match=r"not understood: |answers with an error: ") as failed:
        exchange(kind, Request(("a", "b")), lambda _, __: answer)
    assert "cut o" not in str(failed.value)


def test_a_truncated_answer_is_a_one_line_error_and_the_next_one_counts() -> None:
    class Cut(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b'{"content": "x'
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")

    answers = iter([httpx.Response(200, stream=Cut()), httpx.Response(200, json={"content": "1"})])
    transport = httpx.MockTransport(
        lambda http: httpx.Response(200, json=MODELS) if http.method == "GET" else next(answers)
    )
    engine = RemoteEngine(RemoteOptions("http://server", "llama.cpp"), transport)
    with pytest.raises(
        EngineUnavailable, match=r"http://server does not answer \(.*complete message body\)\. Lacuna tries again"
    ):
        engine.submit(Request(("a", "b"))).result(10)
    assert engine.submit(Request(("a", "b"))).result(10).candidates[0].text == "1"
    engine.close()


def test_an_unfinished_answer_is_an_error() -> None:
    broken = httpx.Response(200, json={"response": "x", "done": False})
    with pytest.raises(EngineUnavailable, match="did not finish"):
        exchange("ollama", Request(("a", "b")), lambda _, __: broken)


@pytest.mark.parametrize("fills", [[], [{"text": "x", "reason": "newline", "tokens": 1, "mean_logprob": 0.0}]])
def test_an_answer_of_lacuna_s_server_must_have_a_text_for_each_hole(fills: list[Body]) -> None:
    candidates = [{"fills": fills}] if fills else []
    answer = httpx.Response(200, json={"candidates": candidates, "counters": {}, "model": "m"})
    with pytest.raises(EngineUnavailable, match="no text for a hole"):
        exchange("lacuna", Request(("a", "b", "c")), lambda _, __: answer)


@pytest.mark.parametrize(
    ("kind", "finished", "reason"),
    [
        ("openai", {"choices": [{"text": "x", "finish_reason": "stop"}]}, StopReason.END_OF_HOLE),
        ("openai", {"choices": [{"text": "x", "finish_reason": "length"}]}, StopReason.MAX_TOKENS),
        ("llama.cpp", {"content": "x", "stop_type": "eos"}, StopReason.END_OF_HOLE),
        ("llama.cpp", {"content": "x", "stop_type": "limit"}, StopReason.MAX_TOKENS),
        ("ollama", {"response": "x", "done": True, "done_reason": "length"}, StopReason.MAX_TOKENS),
        ("tgi", {"generated_text": "x", "details": {"finish_reason": "eos_token"}}, StopReason.END_OF_HOLE),
    ],
)
def test_a_server_s_stop_reason_is_passed_on(kind: str, finished: Body, reason: StopReason) -> None:
    completions, _ = exchange(kind, Request(("a", "b")), lambda _, __: httpx.Response(200, json=finished))
    assert completions.candidates[0].fills[0].reason is reason


def test_half_a_surrogate_pair_can_be_sent() -> None:
    completions, posts = exchange("llama.cpp", Request(("x = '\ud83d' ", "\n")))
    assert completions.candidates[0].text == "1"
    assert posts[0][1]["input_prefix"] == "x = '\ufffd' "
