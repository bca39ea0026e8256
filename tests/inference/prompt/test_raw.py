"""Prompts that a caller built: their sentinels are tokens, and nothing of them is changed."""

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


def asked(decoder: Decoder, request: Request) -> CompletionResult:
    return answer(decoder, "scripted", request, CancelToken(), time.perf_counter())


@pytest.mark.parametrize("name", INFILLING)
def test_a_prompt_that_a_client_spells_is_the_one_that_we_would_make(name: str) -> None:
    text, request = family_text(name), Request(("def f():\n", "\nf()\n"), path="a.py")
    spelt = as_text(request, by_name(name), 2048)
    ours = plan(PromptSpec(request.parts, request.path, 16, layout=Layout.CANONICAL), text, 512)
    assert raw.of_text((spelt,), text, 512, 16).ids == ours.ids


@pytest.mark.parametrize("before", ["", "<|endoftext|>"])
def test_the_beginning_of_a_text_stands_there_once(before: str) -> None:
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
def test_sentencepiece_s_sentinels_are_found_as_people_write_them(spelt: str) -> None:
    text = family_text("codellama")
    found = [i for i in raw.tokens(spelt, text) if i in text.specials.values()]
    assert found == [text.sentinel(name) for name in ("▁<PRE>", "▁<SUF>", "▁<MID>")]


def test_a_raw_prompt_is_filled_and_a_text_with_the_same_signs_is_not() -> None:
    decoder = scripted_decoder("x = 1", "starcoder")
    spelt = "<fim_prefix>a\n<fim_suffix>\n<fim_middle>"
    filled = asked(decoder, Request((spelt,), raw=Raw.YES))
    assert (filled.candidates[0].text, filled.candidates[0].fills[0].reason) == ("x = 1", StopReason.END_OF_HOLE)
    assert filled.metrics.prompt_tokens == 6
    assert asked(decoder, Request((spelt,))).metrics.prompt_tokens > 30


def test_sentinels_count_where_the_caller_says_so() -> None:
    decoder = scripted_decoder("x = 1", "starcoder")
    built, text = "<fim_prefix>a\n<fim_suffix>\n<fim_middle>", "a\n"
    assert asked(decoder, Request((built,), raw=Raw.SENTINELS)).metrics.prompt_tokens == 6
    healed = Request((text + "lo",), raw=Raw.SENTINELS)
    assert (
        asked(decoder, healed).metrics.prompt_tokens
        == asked(decoder, replace(healed, raw=Raw.NO)).metrics.prompt_tokens
    )


def test_nothing_of_a_raw_prompt_is_spelt_again_or_laid_out() -> None:
    text = family_text("starcoder", words=True)
    ids = raw.of_text(("import logg",), text, 512, 16).ids
    assert list(ids) == text.encode("import logg")
    assert plan(PromptSpec(("import logg",), None, 16), text, 512).healed_prefix


def test_a_prompt_with_sentinels_that_is_too_long_is_refused() -> None:
    spelt = "<fim_prefix>" + "a\n" * 400 + "<fim_suffix>\n<fim_middle>"
    with pytest.raises(BadRequest, match="has 804 tokens, and the model's context 512"):
        raw.of_text((spelt,), STARCODER, 512, 16)


def test_a_very_long_prompt_is_not_tokenised(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_ids_are_the_prompt_whatever_else_is_said() -> None:
    for kind in Raw:
        request = Request(("",), raw=kind, ids=(256, 64, 257, 64, 258))
        assert asked(scripted_decoder("x", "starcoder"), request).metrics.prompt_tokens == 5


def test_a_raw_text_without_sentinels_that_is_too_long_shows_its_end() -> None:
    made = raw.of_text(("a = 1\n" * 400 + "last",), STARCODER, 512, 16)
    assert STARCODER.decode(made.ids).endswith("a = 1\nlast")
    assert not made.whole
    assert 300 < len(made.ids) <= 495


def test_an_answer_behind_a_long_raw_prompt_has_what_room_is_left() -> None:
    request = Request(("a" * 500,), raw=Raw.YES, stop=Stop(64))
    (fill,) = asked(echoing_decoder(), request).candidates[0].fills
    assert fill.text == "a" * fill.tokens
    assert fill.tokens == 10


@pytest.mark.parametrize("length", [1, 2, 64, 65, 66, 130, 200])
def test_the_tokens_of_a_prompt_are_scored_by_the_model(length: int) -> None:
    decoder, prompt = echoing_decoder(), ("ab" * 200)[:length]
    request = Request((prompt,), raw=Raw.YES, stop=Stop(0), prompt_logprobs=2)
    found = asked(decoder, request).prompt_logprobs
    assert "".join(token.text for token in found) == prompt
    logits = torch.zeros(decoder.tokenizer.size)
    logits[decoder.tokenizer.encode("a")[0]] = 10.0  # the model goes on with the first letter
    likely, unlikely = sorted(set(logits.log_softmax(-1).tolist()), reverse=True)
    for before, token in pairwise(found):
        assert token.logprob == pytest.approx(likely if token.text == "a" else unlikely, abs=1e-5)
        assert token.top_logprobs[0][0] == "a"
        assert len(token.top_logprobs) == 2
        assert before.id == decoder.tokenizer.encode(before.text)[0]


def test_a_prompt_that_is_laid_out_by_us_is_not_scored() -> None:
    with pytest.raises(BadRequest, match="can be scored"):
        asked(scripted_decoder("x"), Request(("a\n", "\n"), prompt_logprobs=0))


def test_a_text_is_tokenised_without_the_model() -> None:
    decoder = scripted_decoder("x", "starcoder")
    tokenised = asked(decoder, Request(("<fim_prefix>aé",), tokenize=TokenizeOptions()))
    assert (tokenised.prompt_logprobs[0].id, tokenised.prompt_logprobs[0].text) == (256, "<fim_prefix>")
    assert "".join(token.text for token in tokenised.prompt_logprobs) == "<fim_prefix>aé"
    assert (tokenised.candidates, tokenised.metrics.forward_passes) == ((), 0)
    as_text = asked(decoder, Request(("<fim_prefix>",), tokenize=TokenizeOptions(specials=False))).prompt_logprobs
    assert len(as_text) == len("<fim_prefix>")
    ids = tuple(token.id for token in tokenised.prompt_logprobs if token.id is not None)
    back = asked(decoder, Request(("",), ids=ids, tokenize=TokenizeOptions()))
    assert "".join(token.text for token in back.prompt_logprobs) == "<fim_prefix>aé"


@given(st.lists(st.integers(0, 259), max_size=40))
def test_any_tokens_have_texts(ids: list[int]) -> None:
    assert len(STARCODER.token_texts(ids)) == len(ids)


@given(st.text(max_size=60))
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert "".join(STARCODER.token_texts(STARCODER.encode(text))) == text


def test_what_is_no_character_costs_no_more_than_what_is(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    decode = STARCODER._decode_after_anchor
    monkeypatch.setattr(STARCODER, "_decode_after_anchor", lambda ids: decoded.append(len(ids)) or decode(ids))  # type: ignore[func-returns-value]
    for ids in (STARCODER.encode("\ufffd" * 1000), [200] * 3000):
        decoded.clear()
        assert len(STARCODER.token_texts(ids)) == 3000
        assert sum(decoded) < 40 * 3000
