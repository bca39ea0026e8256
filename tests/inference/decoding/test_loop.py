"""Prefix reuse, sampling, and the decode loop over a scripted model."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import ScriptedForward, family_text, scripted_decoder
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import CancelToken, Request, Sampling, Stop, StopReason
from lacuna_inference.cache.pool import PrefixCachePool, Use
from lacuna_inference.cache.prefix_cache import PrefixCache
from lacuna_inference.decoding.answer import answer
from lacuna_inference.decoding.sampler import Sampler
from lacuna_inference.errors import BadRequest, RequestCancelled
from lacuna_inference.forward import MAX_CACHED_LOGITS
from lacuna_inference.in_file.index import FileIndex
from lacuna_inference.in_file.prompt_lookup import PromptLookup
from lacuna_inference.prompt.families import Layout

PROMPTS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=8)


@given(PROMPTS, st.lists(st.integers(0, 3), max_size=3), st.booleans())
def test_the_cache_answers_for_every_prompt_and_evaluates_nothing_twice(
    prompts: list[list[int]], draft: list[int], rolls_back: bool
) -> None:
    forward = ScriptedForward(4, lambda tokens: tokens[-1], rolls_back=rolls_back)
    cache = PrefixCache(forward)
    for ids in prompts:
        held, passes, evaluated = list(forward.tokens), cache.counts.passes, cache.counts.evaluated
        logits = cache.compute_logits_after(ids, CancelToken(), lambda: draft)
        common = next((n for n, (a, b) in enumerate(zip(held, ids, strict=False)) if a != b), min(len(held), len(ids)))
        assert int(logits.argmax()) == ids[-1]
        assert forward.tokens[: len(ids)] == ids
        assert list(cache.tokens) == forward.tokens
        if cache.counts.passes == passes:
            assert common == len(ids)
        elif rolls_back:
            drafted = len(forward.tokens) - len(ids)
            assert cache.counts.evaluated - evaluated - drafted == len(ids) - min(common, len(ids) - 1)


def test_cached_tokens_need_no_second_pass_and_diverging_needs_one() -> None:
    forward = ScriptedForward(9, lambda tokens: tokens[-1])
    cache = PrefixCache(forward)
    for length in (3, 4, 5, 6):
        cache.compute_logits_after([1, 2, 3, 4, 5, 6][:length], CancelToken())
    assert forward.steps == 4
    for length in (4, 3, 6, 5):
        assert int(cache.compute_logits_after([1, 2, 3, 4, 5, 6][:length], CancelToken()).argmax()) == length
    assert forward.steps == 4
    cache.compute_logits_after([1, 2, 3, 4, 8], CancelToken())
    assert forward.steps == 5
    assert forward.widths[-1] == 1


def test_an_accepted_draft_saves_passes_and_is_counted_once() -> None:
    forward = ScriptedForward(9, lambda tokens: tokens[-1] + 1)
    cache = PrefixCache(forward)
    cache.compute_logits_after([1], CancelToken(), draft=lambda: [2, 3, 7])
    for ids in ([1, 2], [1, 2, 3], [1, 2], [1, 2, 3], [1, 2, 3, 4]):
        cache.compute_logits_after(ids, CancelToken())
    assert forward.steps == 2
    assert (cache.counts.drafted, cache.counts.accepted, cache.counts.evaluated) == (3, 2, 5)


def test_a_cache_that_cannot_roll_back_gets_no_more_drafts() -> None:
    forward = ScriptedForward(9, lambda tokens: tokens[-1], rolls_back=False)
    cache = PrefixCache(forward)
    cache.compute_logits_after([1], CancelToken(), draft=lambda: [2])
    cache.compute_logits_after([1, 3], CancelToken(), draft=lambda: [2])
    assert forward.tokens == [1, 3]
    assert int(cache.compute_logits_after([1, 3, 4], CancelToken(), draft=lambda: [2]).argmax()) == 4
    assert cache.counts.drafted == 1


def test_only_the_latest_logits_are_kept() -> None:
    cache = PrefixCache(ScriptedForward(4, lambda _: 0))
    for length in range(1, 3 * MAX_CACHED_LOGITS):
        cache.compute_logits_after([1] * length, CancelToken())
    assert cache.nbytes == 1000 + MAX_CACHED_LOGITS * 4 * 4
    before = cache.counts.passes
    cache.compute_logits_after([1] * 10, CancelToken())
    assert cache.counts.passes == before + 1


def test_cancel_between_prefill_chunks_keeps_what_was_done() -> None:
    cancel = CancelToken()
    forward = ScriptedForward(4, lambda _: 0, on_step=lambda _: cancel.cancel())
    cache = PrefixCache(forward)
    with pytest.raises(RequestCancelled):
        cache.compute_logits_after([1] * 600, cancel)
    assert forward.steps == 1
    assert len(cache.tokens) == len(forward.tokens) == 256


def test_a_step_that_fails_half_way_is_cleared() -> None:
    def fail(number: int) -> None:
        if number == 2:
            raise MemoryError

    forward = ScriptedForward(4, lambda tokens: tokens[-1], on_step=fail)
    cache = PrefixCache(forward)
    cache.compute_logits_after([1, 2], CancelToken())
    with pytest.raises(MemoryError):
        cache.compute_logits_after([1, 2, 3], CancelToken())
    cache.clear()
    assert int(cache.compute_logits_after([1, 2, 3], CancelToken()).argmax()) == 3
    assert forward.tokens == [1, 2, 3]


def test_documents_have_separate_caches_within_a_budget() -> None:
    forward = ScriptedForward(4, lambda tokens: tokens[-1])
    pool = PrefixCachePool(forward, budget=2 * (1000 + MAX_CACHED_LOGITS * 16))

    def ask(key: str) -> int:
        """The number of forward passes of an answer for this document."""
        before = pool.counts.passes
        pool.cache_for(key, [1, 2]).compute_logits_after([1, 2], CancelToken())
        return pool.counts.passes - before

    assert [ask(key) for key in "aba"] == [1, 1, 0]
    assert ask("c") == 1  # replaces b
    assert [ask(key) for key in "ab"] == [0, 1]
    assert len(forward.kv_caches) == 2


def test_there_is_always_one_cache_whatever_the_budget() -> None:
    pool = PrefixCachePool(ScriptedForward(4, lambda _: 0), budget=0)
    cache = pool.cache_for("a", [1])
    assert pool.cache_for("b", [1]) is cache


def test_a_prefetched_cache_becomes_the_document_s_when_it_fits_better() -> None:
    forward = ScriptedForward(9, lambda tokens: tokens[-1])
    pool = PrefixCachePool(forward)
    pool.cache_for("a", [1, 2]).compute_logits_after([1, 2], CancelToken())
    pool.cache_for("a", [1, 5, 6], Use.PREFETCH).compute_logits_after([1, 5, 6], CancelToken())
    assert forward.steps == 2
    pool.cache_for("a", [1, 2]).compute_logits_after([1, 2], CancelToken())  # typed away from what was prefetched
    assert forward.steps == 2
    pool.cache_for("a", [1, 5, 6]).compute_logits_after([1, 5, 6], CancelToken())  # accepted
    assert forward.steps == 2
    pool.cache_for("a", [1, 2, 3], Use.PREFETCH).compute_logits_after([1, 2, 3], CancelToken())
    assert forward.widths[-1] == 1  # continues from the document's other cache
    assert len(forward.kv_caches) == 2


def test_an_empty_candidate_comes_last() -> None:
    from lacuna_inference.api import Candidate, Fill
    from lacuna_inference.decoding.answer import rank

    empty, full = (Candidate((Fill(t, StopReason.END_OF_HOLE, len(t), -1.0 if t else 0.0),)) for t in ("", "x"))
    assert max((empty, full), key=rank) is full


def test_greedy_takes_the_likeliest_allowed_token() -> None:
    logits = torch.tensor([1.0, 5.0, 4.0, 9.0])
    assert Sampler(Sampling(), banned=[1], vocab_size=3).choose(logits)[0] == 2


def test_allowed_tokens_are_sampled_however_unlikely_they_are() -> None:
    logits, allowed = torch.tensor([500.0, 1.0, 2.0]), np.array([1, 2])
    token, logprob = Sampler(Sampling(), banned=[]).choose(logits, allowed)
    assert (token, logprob) == (2, pytest.approx(-math.log(1 + math.exp(-1)), abs=1e-5))
    draws = [Sampler(Sampling(1.0, seed=seed), banned=[]).choose(logits, allowed)[0] for seed in range(300)]
    assert draws.count(2) / 300 == pytest.approx(1 / (1 + math.exp(-1)), abs=0.1)


def test_top_k_and_min_p_cut_the_tail() -> None:
    logits = torch.tensor([1.0, 3.0, 2.0, -4.0])

    def drawn(sampling: Sampling) -> set[int]:
        return {Sampler(replace(sampling, seed=seed), banned=[]).choose(logits)[0] for seed in range(60)}

    assert drawn(Sampling(5.0)) == {0, 1, 2, 3}
    assert drawn(Sampling(5.0, top_k=2)) == {1, 2}
    assert drawn(Sampling(2.0, min_p=0.3)) == {0, 1, 2}
    assert drawn(Sampling(5.0, top_p=0.0)) == {1}


def test_biases_and_penalties_count() -> None:
    logits = torch.tensor([1.0, 2.0, 3.0])
    assert Sampler(Sampling(logit_bias=((0, 5.0),)), banned=[]).choose(logits)[0] == 0
    assert Sampler(Sampling(logit_bias=((2, -100.0),)), banned=[]).choose(logits)[0] == 1

    def written(sampling: Sampling) -> list[int]:
        chooser = Sampler(sampling, banned=[])
        return [chooser.choose(logits)[0] for _ in range(5)]

    assert written(Sampling()) == [2, 2, 2, 2, 2]
    assert written(Sampling(presence_penalty=1.5)) == [2, 1, 2, 2, 2]
    assert written(Sampling(frequency_penalty=1.2)) == [2, 1, 2, 0, 1]
    with pytest.raises(BadRequest, match="token id"):
        Sampler(Sampling(logit_bias=((3, 1.0),)), banned=[], vocab_size=3)


def test_top_p_cuts_the_tail_and_a_seed_reproduces() -> None:
    logits = torch.tensor([3.0, 2.9, -9.0, -9.0])
    draws = [Sampler(Sampling(1.0, 0.9, seed), banned=[]).choose(logits)[0] for seed in range(40)]
    assert set(draws) == {0, 1}
    assert draws == [Sampler(Sampling(1.0, 0.9, seed), banned=[]).choose(logits)[0] for seed in range(40)]


def run(fill: str, request: Request, cancel: CancelToken | None = None):  # type: ignore[no-untyped-def]
    return answer(scripted_decoder(fill), "scripted", request, cancel or CancelToken(), 0.0)


def test_a_hole_ends_where_the_model_closes_it() -> None:
    fill = run("return a + b", Request(("def f(a, b):\n", "\n"))).candidates[0].fills[0]
    assert (fill.text, fill.reason, fill.tokens) == ("return a + b", StopReason.END_OF_HOLE, 12)
    assert fill.mean_logprob < 0


def test_each_stop_is_named() -> None:
    def reason(stop: Stop) -> StopReason:
        return run("a\n    b\nc\nd", Request(("x\n", "y"), stop=stop)).candidates[0].fills[0].reason

    assert reason(Stop(single_line=True)) is StopReason.NEWLINE
    assert reason(Stop(dedent_below=2)) is StopReason.DEDENT
    assert reason(Stop(max_lines=1)) is StopReason.MAX_LINES
    assert reason(Stop(max_tokens=2)) is StopReason.MAX_TOKENS
    assert reason(Stop()) is StopReason.END_OF_HOLE


def test_truncate_before_cuts_the_finished_text() -> None:
    stop = Stop(truncate_before=("\n\n\n", "^#"))
    assert run("x = 1\n# more\n", Request(("a\n", "b"), stop=stop)).candidates[0].text == "x = 1\n"


def test_several_holes_are_filled_in_order() -> None:
    completions = run("q", Request(("a\n", "b\n", "c")))
    assert [fill.text for fill in completions.candidates[0].fills] == ["q", "q"]


def test_families_without_masks_fill_one_hole_after_the_other() -> None:
    decoder = scripted_decoder("q", "starcoder")
    request = Request(("a\n", "b\n", "c"), stop=Stop(max_tokens=3))
    fills = answer(decoder, "scripted", request, CancelToken(), 0.0).candidates[0].fills
    assert len(fills) == 2


def test_candidates_are_unique_and_counters_add_up() -> None:
    completions = run("same", Request(("a\n", "b"), candidates=3, sampling=Sampling(0.5, seed=1)))
    assert len(completions.candidates) == 1
    counters = completions.metrics
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

    with pytest.raises(RequestCancelled) as caught:
        answer(scripted_decoder("x" * 50, on_step=on_step), "scripted", Request(("a\n", "b")), cancel, 0.0)
    assert len(steps) == 3
    assert caught.value.metrics is not None
    assert caught.value.metrics.forward_passes == 3
    assert caught.value.metrics.cancelled_s is not None


@pytest.mark.parametrize("layout", list(Layout))
def test_only_an_anchored_prompt_leaves_out_a_bracket_that_an_editor_put_there(layout: Layout) -> None:
    decoder = replace(scripted_decoder("x", family="starcoder"), layout=layout)
    for before, after in (("f", "\n"), ("f(", ")\n")):
        answer(decoder, "s", Request((before, after), document_id="k"), CancelToken(), 0.0)
    read = decoder.tokenizer.decode(decoder.caches.cache_for("k", []).tokens)
    assert (")" in read) == (layout is Layout.CANONICAL)


def drafted(before: str, after: str = "", written: str = "", max_tokens: int = 8) -> str:
    text = family_text("starcoder")
    drafts = PromptLookup(lambda: FileIndex((before, after), "", text), max_tokens)
    return text.decode(drafts.draft(text.encode(written)))


def test_drafts_continue_an_earlier_occurrence_for_the_length_of_the_match() -> None:
    assert drafted("abcdefgh\nxabc") == "def"
    assert drafted("abcdefgh\nx", written="abc") == "def"
    assert drafted("xab", "abcdefgh") == "cd"
    assert drafted("abcdefghij\nabcde", max_tokens=2) == "fg"
    assert drafted("abcdefghij\nabcde", max_tokens=0) == ""
    assert drafted("abc\nq") == ""


def test_the_latest_match_is_used_and_no_draft_spans_the_hole() -> None:
    assert drafted("ab1 ab2 \n ab") == "2 \n"
    assert drafted("abc", "abc") == ""
    assert drafted("") == ""


def test_the_cursor_s_line_does_not_match_itself() -> None:
    assert drafted("a / len(a) / len(a)") == ""


def test_an_earlier_answer_is_the_latest_match() -> None:
    text = family_text("starcoder")
    index = FileIndex(("ab1 \nab", ""), "", text)
    longer = index.followed_by(text.encode("ab9"))
    assert text.decode(PromptLookup(lambda: longer, 8).draft([])) == "9"
    assert text.decode(PromptLookup(lambda: index, 8).draft([])) == "1 "  # the file itself is what it was


def test_related_files_are_matched_where_the_file_itself_has_no_match() -> None:
    text = family_text("starcoder")
    index = FileIndex(("abX\nab", ""), "", text)
    longer = index.preceded_by([text.encode_file("q = abc\n"), text.encode_file("ab1 zab2")])
    assert text.decode(PromptLookup(lambda: longer, 8).draft([])) == "X\n"
    assert text.decode(PromptLookup(lambda: longer, 8).draft(text.encode("1 z"))) == "ab2"
    assert (
        text.decode(PromptLookup(lambda: longer, 8).draft(text.encode("2"))) == ""
    )  # nothing follows, not another file


TEXT = st.text("ab \n", max_size=40)


@given(TEXT, TEXT, st.text("ab \n", min_size=1, max_size=30), st.integers(1, 8))
def test_drafts_change_no_answer(before: str, after: str, fill: str, max_tokens: int) -> None:
    def answers(width: int) -> tuple[list[str], int]:
        decoder = scripted_decoder(fill, max_draft_tokens=width)
        texts = []
        passes = 0
        for typed in ("", fill[:1], fill[:3], "zz"):
            completions = answer(decoder, "s", Request((before + typed, after), stop=Stop(20)), CancelToken(), 0.0)
            texts.append(completions.candidates[0].text)
            passes += completions.metrics.forward_passes
        return texts, passes

    plain, drafts = answers(0), answers(max_tokens)
    assert plain[0] == drafts[0]
    assert drafts[1] <= plain[1]


def timed(fill: str, deadline_s: float) -> tuple[str, StopReason]:
    """The answer of a model that takes 10 ms a token."""
    decoder = scripted_decoder(fill, on_step=lambda _: time.sleep(0.01))
    request = Request(("a\n", "b"), stop=Stop(60), deadline_s=deadline_s)
    found = answer(decoder, "s", request, CancelToken(), 0.0).candidates[0].fills[0]
    return found.text, found.reason


def test_at_the_deadline_the_text_ends_at_a_line_end() -> None:
    assert timed("one\ntwo three four five six", 0.1) == ("one", StopReason.DEADLINE)
    assert timed("one", 10) == ("one", StopReason.END_OF_HOLE)
    text, reason = timed("x" * 50, 0.05)
    assert reason is StopReason.DEADLINE
    assert 2 <= len(text) <= 12  # twice the time
