"""How long an answer may be, and how much text the model sees whatever the answer's limit."""

from __future__ import annotations

import time

import pytest
from helpers import echoing_decoder, family_text, scripted_decoder
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import CancelToken, CompletionResult, Request, Stop, StopReason
from lacuna_inference.decoding.answer import answer
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.prompt.context_budget import for_answer, for_prompt
from lacuna_inference.prompt.families import by_name
from lacuna_inference.prompt.planner import PromptSpec, plan
from lacuna_inference.remote.server_kinds import SERVER_KINDS, Setting

LINES = "".join(f"line{n:03}\n" for n in range(200))
STARCODER = family_text("starcoder")


def answered(decoder: Decoder, request: Request) -> CompletionResult:
    return answer(decoder, "scripted", request, CancelToken(), time.perf_counter())


@given(st.integers(1, 4096), st.integers(0, 10_000), st.integers(1, 16))
def test_prompt_and_answer_fit_together(context: int, wanted: int, holes: int) -> None:
    prompt = for_prompt(context, wanted, holes)
    limit = for_answer(context, prompt, wanted, holes)
    assert context // 2 <= prompt <= context
    assert limit == 0 or prompt + holes * (limit + 2) - 1 <= context
    assert limit == wanted or limit * holes >= context // 2 - 3 * holes


@pytest.mark.parametrize("wanted", [100, 255, 256, 400, 511, 512, 5000])
def test_the_model_sees_half_a_context_of_text_whatever_the_answer_s_limit(wanted: int) -> None:
    assert 190 < len(plan(PromptSpec((LINES, LINES), None, wanted), STARCODER, 512).ids) <= max(256, 512 - wanted)


@pytest.mark.parametrize("wanted", [495, 512, 2048])
def test_an_answer_that_exceeds_the_available_room_is_limited(wanted: int) -> None:
    short = answered(scripted_decoder("x = 1"), Request(("a\n", "\n"), stop=Stop(wanted)))
    assert (short.candidates[0].text, short.candidates[0].fills[0].reason) == ("x = 1", StopReason.END_OF_HOLE)
    long = answered(echoing_decoder(), Request((LINES, "\n"), stop=Stop(wanted)))
    (fill,) = long.candidates[0].fills
    assert fill.reason is StopReason.MAX_TOKENS
    assert fill.tokens == long.metrics.limit
    assert 240 < fill.tokens < wanted


def test_a_limit_is_reported_only_where_there_is_one() -> None:
    assert answered(scripted_decoder("x"), Request(("a\n", "\n"), stop=Stop(64))).metrics.limit is None


def test_the_holes_of_one_prompt_share_the_remaining_room() -> None:
    completions = answered(echoing_decoder(), Request(("a\n", "\nb\n", "\n"), stop=Stop(2000)))
    first, second = completions.candidates[0].fills
    assert first.tokens == second.tokens == completions.metrics.limit
    assert first.tokens + second.tokens > 450


@pytest.mark.parametrize("kind", ["openai", "llama.cpp", "ollama", "tgi"])
def test_remote_servers_are_asked_for_no_more_than_fits(kind: str) -> None:
    request = Request((LINES * 10, "\n"), stop=Stop(5000))
    ask = SERVER_KINDS[kind].build
    assert ask is not None
    body = str(ask(request, Setting("m", by_name("starcoder"), 1024), 1))
    assert "5000" not in body
    assert "511" in body
    assert len(body) > 1000
