"""Prefix reuse, choice of tokens, and the decode loop over a scripted model."""

from __future__ import annotations

import pytest
import torch
from helpers import ScriptedForward, scripted_decoder
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import CancelToken, Request, Sampling, Stop, StopReason
from lacuna_inference.decode.answer import answer
from lacuna_inference.decode.sampling import Chooser
from lacuna_inference.decode.store import PrefixStore
from lacuna_inference.errors import RequestCancelled


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=8))
def test_the_store_holds_exactly_what_was_asked_and_reuses_the_common_beginning(prompts: list[list[int]]) -> None:
    forward = ScriptedForward(4, lambda tokens: tokens[-1])
    store = PrefixStore(forward)
    for ids in prompts:
        held, evaluated = list(forward.tokens), store.evaluated
        logits = store.advance(ids, CancelToken())
        common = next((n for n, (a, b) in enumerate(zip(held, ids, strict=False)) if a != b), min(len(held), len(ids)))
        assert forward.tokens == ids == list(store.tokens)
        assert int(logits.argmax()) == ids[-1]
        assert store.evaluated - evaluated == len(ids) - min(common, len(ids) - 1)


def test_cancel_between_prefill_chunks_keeps_what_was_done() -> None:
    cancel = CancelToken()
    forward = ScriptedForward(4, lambda _: 0, on_step=lambda _: cancel.cancel())
    store = PrefixStore(forward)
    with pytest.raises(RequestCancelled):
        store.advance([1] * 600, cancel)
    assert forward.steps == 1
    assert len(store.tokens) == len(forward.tokens) == 256


def test_a_step_that_fails_half_way_is_cleared() -> None:
    def fail(number: int) -> None:
        if number == 2:
            raise MemoryError

    forward = ScriptedForward(4, lambda tokens: tokens[-1], on_step=fail)
    store = PrefixStore(forward)
    store.advance([1, 2], CancelToken())
    with pytest.raises(MemoryError):
        store.append(3)
    store.clear()
    assert int(store.advance([1, 2, 3], CancelToken()).argmax()) == 3
    assert forward.tokens == [1, 2, 3]


def test_an_empty_candidate_comes_last() -> None:
    from lacuna_inference.api import Completion, Fill
    from lacuna_inference.decode.answer import rank

    empty, full = (Completion((Fill(t, StopReason.END_OF_HOLE, len(t), -1.0 if t else 0.0),)) for t in ("", "x"))
    assert max((empty, full), key=rank) is full


def test_greedy_takes_the_likeliest_that_is_allowed() -> None:
    logits = torch.tensor([1.0, 5.0, 4.0, 9.0])
    assert Chooser(Sampling(), banned=[1], known=3).choose(logits)[0] == 2


def test_top_p_leaves_out_the_tail_and_a_seed_repeats() -> None:
    logits = torch.tensor([3.0, 2.9, -9.0, -9.0])
    draws = [Chooser(Sampling(1.0, 0.9, seed), banned=[]).choose(logits)[0] for seed in range(40)]
    assert set(draws) == {0, 1}
    assert draws == [Chooser(Sampling(1.0, 0.9, seed), banned=[]).choose(logits)[0] for seed in range(40)]


def run(fill: str, request: Request, cancel: CancelToken | None = None):  # type: ignore[no-untyped-def]
    return answer(scripted_decoder(fill), "scripted", request, cancel or CancelToken(), 0.0)


def test_a_hole_ends_where_the_model_closes_it() -> None:
    fill = run("return a + b", Request(("def f(a, b):\n    ", "\n"))).candidates[0].fills[0]
    assert (fill.text, fill.reason, fill.tokens) == ("return a + b", StopReason.END_OF_HOLE, 12)
    assert fill.mean_logprob < 0


def test_each_stop_is_named() -> None:
    def reason(stop: Stop) -> StopReason:
        return run("a\n    b\nc\nd", Request(("x", "y"), stop=stop)).candidates[0].fills[0].reason

    assert reason(Stop(single_line=True)) is StopReason.NEWLINE
    assert reason(Stop(dedent_below=2)) is StopReason.DEDENT
    assert reason(Stop(max_lines=1)) is StopReason.MAX_LINES
    assert reason(Stop(max_tokens=2)) is StopReason.MAX_TOKENS
    assert reason(Stop()) is StopReason.END_OF_HOLE


def test_truncate_before_cuts_the_finished_text() -> None:
    stop = Stop(truncate_before=("\n\n\n", "^#"))
    assert run("x = 1\n# more\n", Request(("a", "b"), stop=stop)).candidates[0].text == "x = 1\n"


def test_several_holes_are_filled_in_order() -> None:
    completions = run("q", Request(("a", "b", "c")))
    assert [fill.text for fill in completions.candidates[0].fills] == ["q", "q"]


def test_families_without_masks_fill_one_hole_after_the_other() -> None:
    decoder = scripted_decoder("q", "starcoder")
    request = Request(("a", "b", "c"), stop=Stop(max_tokens=3))
    fills = answer(decoder, "scripted", request, CancelToken(), 0.0).candidates[0].fills
    assert len(fills) == 2


def test_candidates_are_unique_and_counters_add_up() -> None:
    completions = run("same", Request(("a", "b"), candidates=3, sampling=Sampling(0.5, seed=1)))
    assert len(completions.candidates) == 1
    counters = completions.counters
    assert counters.generated_tokens == 12
    assert counters.evaluated_tokens >= counters.prompt_tokens
    assert counters.forward_passes > 3
    assert 0 < counters.first_token_s <= counters.total_s


def test_cancel_is_seen_between_tokens() -> None:
    cancel = CancelToken()
    steps = []

    def on_step(number: int) -> None:
        steps.append(number)
        if number == 3:
            cancel.cancel()

    with pytest.raises(RequestCancelled):
        answer(scripted_decoder("x" * 50, on_step=on_step), "scripted", Request(("a", "b")), cancel, 0.0)
    assert len(steps) == 3
