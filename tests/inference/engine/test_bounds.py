"""Requests at and beyond their limits, and failures that must affect only their own request."""

from __future__ import annotations

import pytest
import torch
from helpers import ScriptedCache, ScriptedForward, by_name, byte_tokenizer, scripted_decoder
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import CancelToken, Raw, Request, Sampling, Stop, StopReason, StreamEvent
from lacuna_inference.cache.pool import PrefixCachePool
from lacuna_inference.decoding.answer import answer
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.engine.batch import Batch
from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_inference.forward import run_steps
from lacuna_inference.prompt.planner import Prompt
from lacuna_inference.prompt.tokenizer import PromptTokenizer

CONTEXT = 128
INCODER = by_name("incoder")
MASKS = [f"<|mask:{n}|>" for n in range(20)]
TEXT = PromptTokenizer(byte_tokenizer(list(dict.fromkeys([*INCODER.sentinels, *MASKS, *INCODER.ends]))), INCODER)
NAN, INFINITY = float("nan"), float("inf")


class Narrow(ScriptedForward):
    """Fails as a KV cache does when more is written to it than it holds."""

    def step(self, ids: list[int], kv_cache: ScriptedCache, n_logits: int = 1) -> torch.Tensor:  # type: ignore[override]
        if len(kv_cache.tokens) + len(ids) > CONTEXT:
            raise IndexError(f"place {len(kv_cache.tokens) + len(ids)} of {CONTEXT}")
        return super().step(ids, kv_cache, n_logits)


def narrow_decoder() -> Decoder:
    letter = TEXT.encode("a")[0]
    return Decoder(PrefixCachePool(Narrow(TEXT.size, lambda _: letter)), TEXT, CONTEXT)


def filled(holes: int, max_tokens: int) -> list[int]:
    """The number of tokens for each of `holes` holes, in a text that fills the context."""
    parts = ("x = 1\n" * 60, *["\nq"] * (holes - 1), "\nz\n")
    request = Request(parts, stop=Stop(max_tokens))
    answered = answer(narrow_decoder(), "m", request, CancelToken(), 0.0)
    return [fill.tokens for fill in answered.candidates[0].fills]


@pytest.mark.parametrize(("holes", "max_tokens"), [(3, 16), (4, 1), (8, 1), (10, 4), (16, 2), (5, 0)])
def test_many_holes_with_short_fills_stay_inside_the_context(holes: int, max_tokens: int) -> None:
    assert filled(holes, max_tokens) == [max_tokens] * holes


@given(st.integers(1, 19), st.integers(0, 20))
def test_any_number_of_holes_is_filled_or_rejected(holes: int, max_tokens: int) -> None:
    try:
        tokens = filled(holes, max_tokens)
    except BadRequest:  # the fills and the text between the holes are too long
        assert holes * (max_tokens + 4) > CONTEXT // 2
    else:
        assert len(tokens) == holes
        assert max(tokens) <= max_tokens


def test_a_hole_without_room_left_stays_empty() -> None:
    """A fill that is cut inside a token may take more tokens than were written."""
    decoder, request = narrow_decoder(), Request(("x\n", "\nq", "\n"), stop=Stop(4))
    ids = tuple(TEXT.encode("x" * (CONTEXT + 1)))
    steps = decoder.fill(Prompt(ids), request.parts, Sampling(), RequestState(request, CancelToken()))
    (fill,) = run_steps(steps, decoder.caches.forward)
    assert fill.text == ""


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        (Request(("a\n", "\n"), stop=Stop(max_lines=0)), "max_lines must be 1 or more"),
        (Request(("a\n", "\n"), stop=Stop(max_lines=-1)), "max_lines must be 1 or more"),
        (Request(("a\n", "\n"), stop=Stop(max_tokens=-1)), "max_tokens must be 0 or more"),
        (Request(("a\n", "\n"), sampling=Sampling(0.5, seed=-1)), "the seed must be 0 or more"),
        (Request(("a\n", "\n"), sampling=Sampling(NAN)), "the temperature must be a finite number"),
        (Request(("a\n", "\n"), sampling=Sampling(INFINITY)), "the temperature must be a finite number"),
        (Request(("a\n", "\n"), sampling=Sampling(-1.0)), "the temperature must be a finite number"),
        (Request(("a\n", "\n"), sampling=Sampling(0.5, NAN)), "top_p must be between 0 and 1"),
        (Request(("a\n", "\n"), top_logprobs=-1), "the number of alternatives must be 0 or more"),
        (Request(("a\n",), prompt_logprobs=-1, raw=Raw.YES), "the number of alternatives must be 0 or more"),
        (Request(("a\n", "\n"), sampling=Sampling(top_k=-1)), "top_k must be 0 or more"),
        (Request(("a\n", "\n"), sampling=Sampling(min_p=2)), "min_p must be between 0 and 1"),
        (Request(("a\n", "\n"), sampling=Sampling(frequency_penalty=NAN)), "penalties must be finite"),
        (Request(("a\n", "\n"), sampling=Sampling(logit_bias=((-1, 1.0),))), "a bias must be a finite number"),
        (Request(("a\n", "\n"), sampling=Sampling(logit_bias=((1, INFINITY),))), "a bias must be a finite number"),
    ],
)
def test_meaningless_limits_are_rejected(request_: Request, rule: str) -> None:
    decoder = scripted_decoder("x = 1\ny = 2")
    with pytest.raises(BadRequest, match=rule):
        answer(decoder, "m", request_, CancelToken(), 0.0)
    assert decoder.caches.counts.passes == 0


def test_at_least_one_line_but_possibly_no_token_is_allowed() -> None:
    decoder = scripted_decoder("x = 1\ny = 2")

    def ask(stop: Stop) -> tuple[str, StopReason]:
        (fill,) = answer(decoder, "m", Request(("a\n", "\n"), stop=stop), CancelToken(), 0.0).candidates[0].fills
        return fill.text, fill.reason

    assert ask(Stop(max_lines=1)) == ("x = 1", StopReason.MAX_LINES)
    assert ask(Stop(max_tokens=0)) == ("", StopReason.MAX_TOKENS)


def outcome(batch: Batch, request: Request) -> object:
    over = batch.start(RequestState(request, CancelToken()))
    while batch:
        over += batch.advance()
    ((_, found),) = over
    return found


def raises(_: StreamEvent) -> None:
    raise RuntimeError("Event loop is closed")


@pytest.mark.parametrize(
    "bad",
    [
        Request(("b\n", "\n"), document_id="b", on_token=raises),
        Request(("b\n", "\n"), document_id="b", sampling=Sampling(0.5, seed=-1)),
        Request(("b\n", "\n"), document_id="b", stop=Stop(truncate_before=("(",))),
        Request(("b\n", "\n"), document_id="b", ids=(10**9,)),
    ],
)
def test_a_failed_request_leaves_other_documents_caches(bad: Request) -> None:
    decoder = scripted_decoder("abc")
    batch, document = Batch(decoder, "m", 8), ("a\n" * 20, "\n")
    outcome(batch, Request(document, document_id="a"))
    held = decoder.caches.cache_for("a", ()).tokens
    assert held
    assert isinstance(outcome(batch, bad), LacunaError)
    assert decoder.caches.cache_for("a", ()).tokens == held


def test_a_failed_forward_pass_drops_the_cache_of_its_document() -> None:
    decoder = scripted_decoder("abc")
    batch, forward = Batch(decoder, "m", 8), decoder.caches.forward
    for key in "ab":
        outcome(batch, Request((f"{key}\n", "\n"), document_id=key))
    step = forward.step

    def half_done(ids: list[int], kv_cache: ScriptedCache, n_logits: int = 1) -> torch.Tensor:
        step(ids[:1], kv_cache, n_logits)
        raise ZeroDivisionError

    forward.step = half_done  # type: ignore[method-assign, assignment]
    assert isinstance(outcome(batch, Request(("b\nx\n", "\n"), document_id="b")), LacunaError)
    forward.step = step  # type: ignore[method-assign]
    assert decoder.caches.cache_for("a", ()).tokens
    assert decoder.caches.cache_for("b", ()).tokens == ()
    found = outcome(batch, Request(("b\nx\n", "\n"), document_id="b"))
    assert found.candidates[0].text == "abc"  # type: ignore[attr-defined]
