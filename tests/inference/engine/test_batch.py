"""Concurrent requests: each gets the answer that it gets alone, whichever others arrive, leave, or fail."""

from __future__ import annotations

import random
import threading

import pytest
from helpers import CountingTokenizer, loaded, scripted_decoder

from lacuna_inference.api import CancelToken, CompletionResult, ModelOptions, Request, Sampling, Stop, StreamEvent
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.engine.batch import Batch
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.engine.scheduler import Scheduler
from lacuna_inference.errors import LacunaError, NotEnoughMemory, RequestCancelled
from lacuna_inference.prompt.lines import PART_BYTES
from lacuna_inference.prompt.tokenizer import PromptTokenizer


def finished(batch: Batch, jobs: list[RequestState]) -> dict[RequestState, CompletionResult | LacunaError]:
    """Starts all jobs that fit, and runs until all are done."""
    waiting, over = list(jobs), {}
    while waiting or batch:
        while waiting and batch.has_room:
            over.update(batch.start(waiting.pop(0)))
        over.update(batch.advance())
    return over


def job(text: str, **changed: object) -> RequestState:
    return RequestState(Request((text, "\n"), **changed), CancelToken())  # type: ignore[arg-type]


def texts(over: dict[RequestState, CompletionResult | LacunaError]) -> list[str]:
    return [found.candidates[0].text for found in over.values() if isinstance(found, CompletionResult)]


def passes(decoder: Decoder) -> list[int]:
    return decoder.caches.forward.passes  # type: ignore[attr-defined, no-any-return]


def test_several_requests_share_each_forward_pass() -> None:
    decoder = scripted_decoder("abcde")
    over = finished(Batch(decoder, "m", 8), [job(f"{n}\n") for n in range(4)])
    assert texts(over) == ["abcde"] * 4
    assert set(passes(decoder)) == {4}
    steps = decoder.caches.forward.steps  # type: ignore[attr-defined]
    assert steps == 4 * len(passes(decoder))
    assert decoder.caches.counts.passes == steps


def test_no_more_than_the_limit_run_at_a_time() -> None:
    decoder = scripted_decoder("abcde")
    assert len(finished(Batch(decoder, "m", 2), [job(f"{n}\n") for n in range(5)])) == 5
    assert max(passes(decoder)) == 2


def test_no_more_than_fit_in_memory_run_at_a_time() -> None:
    decoder = scripted_decoder("abcde")
    one = 1000 + 128 * 4 * decoder.tokenizer.size
    decoder.caches._budget = 3 * one
    finished(Batch(decoder, "m", 8), [job("first\n")])
    assert len(finished(Batch(decoder, "m", 8), [job(f"{n}\n") for n in range(6)])) == 6
    assert max(passes(decoder)) == 3


def test_requests_join_and_leave_between_forward_passes() -> None:
    decoder = scripted_decoder("x" * 30)
    batch = Batch(decoder, "m", 8)
    long, short = job("a\n"), job("b\n", stop=Stop(3))
    over: dict[RequestState, CompletionResult | LacunaError] = dict(batch.start(long))
    for _ in range(5):
        over.update(batch.advance())
    over.update(batch.start(short))
    while batch:
        over.update(batch.advance())
    assert list(over) == [short, long]
    assert texts(over) == ["xxx", "x" * 30]
    assert {1, 2} >= set(passes(decoder))


def test_a_cancelled_request_leaves_before_the_next_forward_pass() -> None:
    decoder = scripted_decoder("x" * 30)
    batch = Batch(decoder, "m", 8)
    left, stays = job("a\n"), job("b\n")
    batch.start(left)
    batch.start(stays)
    batch.advance()
    left.cancel.cancel()
    steps = decoder.caches.forward.steps  # type: ignore[attr-defined]
    ((gone, outcome),) = batch.advance()
    assert gone is left
    assert isinstance(outcome, RequestCancelled)
    assert outcome.metrics is not None
    assert decoder.caches.forward.steps == steps + 1  # type: ignore[attr-defined]


def test_a_newer_request_gets_the_prefix_cache_when_the_older_has_left() -> None:
    batch = Batch(scripted_decoder("x" * 30), "m", 8)
    older, newer = job("a\n", document_id="d"), job("a\nb\n", document_id="d")
    batch.start(older)
    batch.advance()
    older.cancel.cancel()
    ((gone, _),) = batch.start(newer)
    assert gone is older
    assert len(batch) == 1


def test_memory_too_short_for_a_batch_may_suffice_for_each_request() -> None:
    decoder = scripted_decoder("abc")
    forward = decoder.caches.forward

    def step_batch(_: object) -> None:
        raise RuntimeError("CUDA out of memory")

    forward.step_batch = step_batch  # type: ignore[method-assign]
    assert texts(finished(Batch(decoder, "m", 8), [job("a\n"), job("b\n")])) == ["abc", "abc"]


def test_a_failure_affects_only_the_request_that_caused_it() -> None:
    decoder = scripted_decoder("abc")
    forward = decoder.caches.forward
    step = forward.step
    bad = decoder.tokenizer.encode("bad")

    def failing(ids: list[int], kv_cache: object, n_logits: int = 1) -> object:
        if any(list(ids[n : n + len(bad)]) == bad for n in range(len(ids))):
            raise MemoryError
        return step(ids, kv_cache, n_logits)

    forward.step = failing  # type: ignore[method-assign, assignment]
    over = finished(Batch(decoder, "m", 8), [job("a\n"), job("bad\n"), job("c\n")])
    assert texts(over) == ["abc", "abc"]
    assert sum(isinstance(found, NotEnoughMemory) for found in over.values()) == 1
    assert texts(finished(Batch(decoder, "m", 8), [job("d\n")])) == ["abc"]


def test_callers_take_turns() -> None:
    """A caller who sends many requests at once does not make another wait for all of them."""
    decoder = scripted_decoder("x" * 20)
    ended: list[str] = []
    engine = ModelEngine(ModelOptions("m", batch=2), lambda _: loaded(decoder))
    hold = threading.Event()
    forward = decoder.caches.forward
    forward.on_step = lambda _: hold.wait(10)  # type: ignore[attr-defined]
    futures = []
    for caller, text in [("greedy", "a"), ("greedy", "b"), ("greedy", "c"), ("greedy", "d"), ("modest", "e")]:
        future = engine.submit(Request((text, "\n"), caller=caller))
        future.add_done_callback(lambda _, text=text: ended.append(text))
        futures.append(future)
    hold.set()
    for future in futures:
        future.result(10)
    assert ended.index("e") < ended.index("c")
    engine.close()


def test_documents_take_turns_however_often_they_repeat_requests() -> None:
    """A user's newest request keeps the turn of those it replaced, until one is answered."""
    jobs = Scheduler()
    served = []
    for answered in (True, False, True):
        for key in "abcd" * 2:  # two keys for each: the second replaces the first
            jobs.add(job("x", document_id=key, caller="host"))
        for _ in range(2):
            taken = jobs.take()
            assert taken is not None
            served.append(taken.request.document_id)
            if not answered:
                taken.cancel.cancel()
            jobs.done(taken)
    assert served == ["a", "b", "c", "d", "c", "d"]


def test_a_request_cancelled_in_the_queue_costs_no_turn() -> None:
    jobs = Scheduler()
    left, stayed = job("x", document_id="a"), job("y", document_id="b")
    jobs.add(left)
    jobs.add(stayed)
    left.cancel.cancel()
    assert jobs.take() is stayed
    with pytest.raises(RequestCancelled):
        left.future.result(0)


@pytest.mark.parametrize("seed", range(5))
def test_ten_thousand_answers_are_not_mixed_up(seed: int) -> None:
    """The scripted model repeats the prompt's letter, so an answer to another request is visible."""
    from helpers import echoing_decoder

    random.seed(seed)
    decoder = echoing_decoder()
    batch = Batch(decoder, "m", 8)
    numbers = {job(f"{chr(97 + n % 26)}\n", document_id=f"k{n % 40}", stop=Stop(1 + n % 7)): n for n in range(2000)}
    waiting, over = list(numbers), {}
    while waiting or batch:
        while waiting and batch.has_room and random.random() < 0.7:
            over.update(batch.start(waiting.pop(0)))
        over.update(batch.advance())
    assert len(over) == 2000
    for one, found in over.items():
        n = numbers[one]
        assert isinstance(found, CompletionResult)
        assert found.candidates[0].text == chr(97 + n % 26) * (1 + n % 7)


def test_streamed_tokens_are_the_answer_and_never_retracted() -> None:
    events: list[StreamEvent] = []
    decoder = scripted_decoder("ab STOP cd")
    request = Request(("a\n", "\n"), stop=Stop(strings=("STOP",)), on_token=events.append, top_logprobs=2)
    over = finished(Batch(decoder, "m", 8), [RequestState(request, CancelToken())])
    (completions,) = over.values()
    assert isinstance(completions, CompletionResult)
    fill = completions.candidates[0].fills[0]
    assert fill.text == "ab " == "".join(event.token.text for event in events)
    assert [event.token for event in events] == list(fill.token_logprobs)[: len(events)]
    assert all(len(token.top_logprobs) == 2 for token in fill.token_logprobs)


def test_candidates_that_may_be_equal_keep_their_order() -> None:
    request = Request(("a\n", "\n"), candidates=3, distinct=False, sampling=Sampling(0.5, seed=1))
    over = finished(Batch(scripted_decoder("abc"), "m", 8), [RequestState(request, CancelToken())])
    (completions,) = over.values()
    assert isinstance(completions, CompletionResult)
    assert [candidate.text for candidate in completions.candidates] == ["abc"] * 3


def test_others_go_on_while_a_large_file_is_tokenized() -> None:
    decoder = scripted_decoder("x" * 60, max_draft_tokens=1)
    counting = CountingTokenizer(decoder.tokenizer._tokenizer)
    object.__setattr__(decoder, "tokenizer", PromptTokenizer(counting.as_tokenizer(), decoder.tokenizer.family))
    batch = Batch(decoder, "m", 8)
    batch.start(job("a\n"))
    large = job("".join(f"value_{n} = {n}\n" for n in range(5000)))
    costs, before = list[int](), counting.characters
    batch.start(large)
    while batch:
        costs.append(counting.characters - before)
        before = counting.characters
        batch.advance()
    assert sum(costs) > len(large.request.parts[0])
    assert max(costs) < 2 * PART_BYTES
    assert passes(decoder)[0] == 2
    alone = decoder.caches.forward.steps - sum(passes(decoder))  # type: ignore[attr-defined]
    assert alone >= len([cost for cost in costs if cost > PART_BYTES])
