"""Prompts built by the caller: their sentinels are tokens, and they are not changed."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from helpers import echoing_decoder, family_text, scripted_decoder
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import CancelToken, CompletionResult, Raw, Request, Stop, StopReason, TokenizeOptions
from lacuna_inference.decoding.answer import answer
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt import raw
from lacuna_inference.prompt.families import FAMILIES, Layout, by_name
from lacuna_inference.prompt.planner import PromptSpec, plan
from lacuna_inference.remote.prompt import as_text

STARCODER, LACUNA = family_text("starcoder"), family_text("lacuna", extra=["<|mask:3|>"])
INFILLING = [family.name for family in FAMILIES if family.infill]


def answered(decoder: Decoder, request: Request) -> CompletionResult:
    return answer(decoder, "scripted", request, CancelToken(), time.perf_counter())


@pytest.mark.parametrize("name", INFILLING)
def test_a_prompt_spelled_by_a_client_equals_the_planned_one(name: str) -> None:
    text, request = family_text(name), Request(("def f():\n", "\nf()\n"), path="a.py")
    spelt = as_text(request, by_name(name), 2048)
    ours = plan(PromptSpec(request.parts, request.path, 16, layout=Layout.CANONICAL), text, 512)
    assert raw.of_text((spelt,), text, 512, 16).ids == ours.ids


@pytest.mark.parametrize("before", ["", "<|endoftext|>"])
def test_the_begin_of_text_token_occurs_once(before: str) -> None:
    spelt = f"{before}<|mask:0|>\nb\n<|mask:1|>a\n<|mask:2|>x = "
    ids = raw.of_text((spelt,), LACUNA, 512, 16).ids
    assert ids[0] == LACUNA.begin[0]
    assert ids.count(LACUNA.begin[0]) == 1
    assert ids[1] == LACUNA.sentinel("<|mask:0|>")
    assert LACUNA.decode(ids).endswith("<|mask:2|>x = ")


@given(st.lists(st.sampled_from(["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "a", "\n", "é", "<fim", ">"])))
def test_sentinels_are_tokens_and_the_rest_is_text(pieces: list[str]) -> None:
    ids = raw.tokens("".join(pieces), STARCODER)
    assert STARCODER._plain_decode(ids) == "".join(pieces)
    sentinels = [i for i in ids if i in STARCODER.specials.values()]
    assert len(sentinels) == sum("".join(pieces).count(name) for name in STARCODER.specials)


@pytest.mark.parametrize("spelt", ["<PRE> a <SUF>b <MID>", " <PRE> a <SUF>b <MID>", "▁<PRE> a▁<SUF>b▁<MID>"])
def test_sentencepiece_sentinels_are_found_in_their_usual_spelling(spelt: str) -> None:
    text = family_text("codellama")
    sentinels = [i for i in raw.tokens(spelt, text) if i in text.specials.values()]
    assert sentinels == [text.sentinel(name) for name in ("▁<PRE>", "▁<SUF>", "▁<MID>")]


def test_a_raw_prompt_is_filled_but_not_a_text_with_the_same_characters() -> None:
    decoder = scripted_decoder("x = 1", "starcoder")
    spelt = "<fim_prefix>a\n<fim_suffix>\n<fim_middle>"
    filled = answered(decoder, Request((spelt,), raw=Raw.YES))
    assert (filled.candidates[0].text, filled.candidates[0].fills[0].reason) == ("x = 1", StopReason.END_OF_HOLE)
    assert filled.metrics.prompt_tokens == 6
    assert answered(decoder, Request((spelt,))).metrics.prompt_tokens > 30


def test_sentinels_count_where_the_caller_asks_for_it() -> None:
    decoder = scripted_decoder("x = 1", "starcoder")
    built, text = "<fim_prefix>a\n<fim_suffix>\n<fim_middle>", "a\n"
    assert answered(decoder, Request((built,), raw=Raw.SENTINELS)).metrics.prompt_tokens == 6
    healed = Request((text + "lo",), raw=Raw.SENTINELS)
    assert (
        answered(decoder, healed).metrics.prompt_tokens
        == answered(decoder, replace(healed, raw=Raw.NO)).metrics.prompt_tokens
    )


def test_a_raw_prompt_is_neither_healed_nor_laid_out() -> None:
    text = family_text("starcoder", words=True)
    ids = raw.of_text(("import logg",), text, 512, 16).ids
    assert list(ids) == text.encode("import logg")
    assert plan(PromptSpec(("import logg",), None, 16), text, 512).healed_prefix


def test_a_prompt_with_sentinels_that_is_too_long_is_rejected() -> None:
    spelt = "<fim_prefix>" + "a\n" * 400 + "<fim_suffix>\n<fim_middle>"
    with pytest.raises(BadRequest, match="has 804 tokens, and the model's context 512"):
        raw.of_text((spelt,), STARCODER, 512, 16)


def test_a_very_long_prompt_is_not_tokenized(monkeypatch: pytest.MonkeyPatch) -> None:
    text = family_text("starcoder")
    longest = 0

    def encode(shown: str) -> list[int]:
        nonlocal longest
        longest = max(longest, len(shown))
        return [64] * len(shown)

    monkeypatch.setattr(text, "encode", encode)
    with pytest.raises(BadRequest, match="characters"):
        raw.of_text(("<fim_prefix>" + "a\n" * 10**6,), text, 512, 16)
    assert longest == 0
    assert not raw.of_text(("a\n" * 10**6,), text, 512, 16).whole
    assert 0 < longest <= 200 * 512


def test_ids_are_the_prompt_whatever_else_is_given() -> None:
    for kind in Raw:
        request = Request(("",), raw=kind, ids=(256, 64, 257, 64, 258))
        assert answered(scripted_decoder("x", "starcoder"), request).metrics.prompt_tokens == 5


def test_a_raw_text_without_sentinels_that_is_too_long_shows_its_end() -> None:
    prompt = raw.of_text(("a = 1\n" * 400 + "last",), STARCODER, 512, 16)
    assert STARCODER.decode(prompt.ids).endswith("a = 1\nlast")
    assert not prompt.whole
    assert 300 < len(prompt.ids) <= 495


def test_an_answer_to_a_long_raw_prompt_gets_the_remaining_room() -> None:
    request = Request(("a" * 500,), raw=Raw.YES, stop=Stop(64))
    (fill,) = answered(echoing_decoder(), request).candidates[0].fills
    assert fill.text == "a" * fill.tokens
    assert fill.tokens == 10


@pytest.mark.parametrize("length", [1, 2, 64, 65, 66, 130, 200])
def test_the_tokens_of_a_prompt_are_scored_by_the_model(length: int) -> None:
    decoder, prompt = echoing_decoder(), ("ab" * 200)[:length]
    request = Request((prompt,), raw=Raw.YES, stop=Stop(0), prompt_logprobs=2)
    logprobs = answered(decoder, request).prompt_logprobs
    assert "".join(token.text for token in logprobs) == prompt
    logits = torch.zeros(decoder.tokenizer.size)
    logits[decoder.tokenizer.encode("a")[0]] = 10.0  # the model continues with the first letter
    likely, unlikely = sorted(set(logits.log_softmax(-1).tolist()), reverse=True)
    for before, token in pairwise(logprobs):
        assert token.logprob == pytest.approx(likely if token.text == "a" else unlikely, abs=1e-5)
        assert token.top_logprobs[0][0] == "a"
        assert len(token.top_logprobs) == 2
        assert before.id == decoder.tokenizer.encode(before.text)[0]


def test_a_planned_prompt_is_not_scored() -> None:
    with pytest.raises(BadRequest, match="can be scored"):
        answered(scripted_decoder("x"), Request(("a\n", "\n"), prompt_logprobs=0))


def test_a_text_is_tokenized_without_the_model() -> None:
    decoder = scripted_decoder("x", "starcoder")
    tokenized = answered(decoder, Request(("<fim_prefix>aé",), tokenize=TokenizeOptions()))
    assert (tokenized.prompt_logprobs[0].id, tokenized.prompt_logprobs[0].text) == (256, "<fim_prefix>")
    assert "".join(token.text for token in tokenized.prompt_logprobs) == "<fim_prefix>aé"
    assert (tokenized.candidates, tokenized.metrics.forward_passes) == ((), 0)
    as_text = answered(decoder, Request(("<fim_prefix>",), tokenize=TokenizeOptions(specials=False))).prompt_logprobs
    assert len(as_text) == len("<fim_prefix>")
    ids = tuple(token.id for token in tokenized.prompt_logprobs if token.id is not None)
    back = answered(decoder, Request(("",), ids=ids, tokenize=TokenizeOptions()))
    assert "".join(token.text for token in back.prompt_logprobs) == "<fim_prefix>aé"


@given(st.lists(st.integers(0, 259), max_size=40))
def test_any_tokens_have_texts(ids: list[int]) -> None:
    assert len(STARCODER.token_texts(ids)) == len(ids)


@given(st.text(max_size=60))
def test_the_tokens_of_a_text_join_to_the_text(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert "".join(STARCODER.token_texts(STARCODER.encode(text))) == text


def test_invalid_bytes_cost_no_more_than_valid_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    decode = STARCODER._decode_after_anchor
    monkeypatch.setattr(STARCODER, "_decode_after_anchor", lambda ids: decoded.append(len(ids)) or decode(ids))  # type: ignore[func-returns-value]
    for ids in (STARCODER.encode("\ufffd" * 1000), [200] * 3000):
        decoded.clear()
        assert len(STARCODER.token_texts(ids)) == 3000
        assert sum(decoded) < 40 * 3000
