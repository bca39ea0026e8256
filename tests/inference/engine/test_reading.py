"""Documents that are read before anybody asks: what the first request finds, and who must not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace

import pytest
from helpers import ScriptedForward, loaded, scripted_decoder, until

from lacuna_inference.api import CancelToken, CompletionResult, ModelOptions, Request, Sampling, Stop
from lacuna_inference.cache import pool
from lacuna_inference.cache.pool import Use
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.narrowing import MIN_TOKENS
from lacuna_inference.decoding.speed import ReadingSpeed
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.engine.fake import FakeEngine
from lacuna_inference.engine.replicas import ReplicatedEngine
from lacuna_inference.forward import IDLE_CHUNK

LINES = [f"v{number} = {number}\n" for number in range(40)]
TEXT = "".join(LINES)
DOCUMENT = "file:///w/a.py"


class Reading:
    """An engine with a scripted model, of which the test holds a step."""

    def __init__(self, family: str = "starcoder") -> None:
        self.hook: Callable[[int], None] = lambda _: None
        self.decoder: Decoder = scripted_decoder("1", family, lambda number: self.hook(number))
        self.engine = ModelEngine(ModelOptions("scripted"), lambda _: loaded(self.decoder))
        self.be_idle_after(0.0)
        self.ask("warm\n", "", "warm")

    def be_idle_after(self, seconds: float) -> None:
        """How long nobody must ask before something is read."""
        with self.engine._scheduler._changed:
            self.engine._scheduler._quiet_s = seconds
            self.engine._scheduler._changed.notify()

    @property
    def forward(self) -> ScriptedForward:
        forward = self.decoder.caches.forward
        assert isinstance(forward, ScriptedForward)
        return forward

    def ask(self, before: str, after: str, document_id: str = DOCUMENT) -> CompletionResult:
        return self.engine.submit(request(before, after, document_id=document_id)).result(10)

    def read(
        self, *parts: str, document_id: str = DOCUMENT, cancel: CancelToken | None = None, beside: bool = False
    ) -> Future[bool]:
        return self.engine.read_ahead(request(*parts, document_id=document_id), cancel or CancelToken(), beside)

    def wait(self) -> None:
        until(lambda: self.engine._scheduler.idle)

    def held(self, document_id: str = DOCUMENT) -> int:
        """Tokens that are read of a document."""
        cache = self.decoder.caches._caches.get((document_id, Use.ANSWERS))
        return 0 if cache is None else len(cache.tokens)

    def block(self) -> tuple[threading.Event, threading.Event]:
        """Holds the next step; the events are set when it has begun, and to end it."""
        entered, release = threading.Event(), threading.Event()

        def hook(_: int) -> None:
            entered.set()
            release.wait(10)

        self.hook = hook
        return entered, release


def request(*parts: str, document_id: str = DOCUMENT, may_be_narrow: bool = False) -> Request:
    return Request(parts, "a.py", Stop(max_tokens=4), document_id=document_id, may_be_narrow=may_be_narrow)


@pytest.fixture
def reading() -> Iterator[Reading]:
    made = Reading()
    yield made
    made.engine.close()


def evaluated(answer: CompletionResult) -> int:
    return answer.metrics.prompt_tokens - answer.metrics.reused_tokens


def test_with_a_known_cursor_the_first_request_reads_nothing(reading: Reading) -> None:
    before, after = "".join(LINES[:20]), "".join(LINES[20:])
    reading.read(before, after)
    reading.wait()
    assert evaluated(reading.ask(before, after)) == 0


def test_further_candidates_reuse_the_prompt_once(reading: Reading) -> None:
    before, after = "".join(LINES[:20]), "".join(LINES[20:])
    reading.read(before, after)
    reading.wait()
    several = replace(request(before, after), candidates=3, distinct=False, sampling=Sampling(0.5, seed=1))
    assert evaluated(reading.engine.submit(several).result(10)) == 0


NEXT = "# shown next\n"


def test_what_is_shown_next_is_read_beside_what_is_shown_now(reading: Reading) -> None:
    before, after = "".join(LINES[:20]), "".join(LINES[20:])
    assert evaluated(reading.ask(before, after)) > len(TEXT)
    assert reading.read(NEXT + before, after, beside=True).result(10)
    assert evaluated(reading.ask(before, after)) == 0
    assert evaluated(reading.ask(NEXT + before, after)) == 0
    assert evaluated(reading.ask(before, after)) == 0, "it is still there"


def test_a_request_interrupts_what_is_read_beside_and_does_not_end_it(reading: Reading) -> None:
    before, after = "".join(LINES[:20]), "".join(LINES[20:])
    reading.ask(before, after)
    entered, release = reading.block()
    future = reading.read(NEXT + before, after, beside=True)
    assert entered.wait(10)
    reading.hook = lambda _: None
    release.set()
    assert evaluated(reading.ask(before, after)) == 0
    assert future.result(10)
    assert evaluated(reading.ask(NEXT + before, after)) == 0


def test_what_is_shown_now_is_read_before_what_is_shown_next(reading: Reading) -> None:
    reading.be_idle_after(60.0)
    beside = reading.read(NEXT + TEXT, "", beside=True)
    now = reading.read(TEXT, "")
    order = list[str]()
    beside.add_done_callback(lambda _: order.append("next"))
    now.add_done_callback(lambda _: order.append("now"))
    reading.be_idle_after(0.0)
    assert beside.result(10)
    assert order == ["now", "next"]


def test_without_memory_for_another_cache_the_next_prompt_takes_the_place_of_the_present_one(reading: Reading) -> None:
    before, after = "".join(LINES[:20]), "".join(LINES[20:])
    reading.ask(before, after)
    reading.decoder.caches._budget = 1
    assert reading.read(NEXT + before, after, beside=True).result(10)
    assert evaluated(reading.ask(NEXT + before, after)) == 0


def test_what_is_given_up_is_told(reading: Reading) -> None:
    reading.be_idle_after(60.0)
    cancel = CancelToken()
    cancelled = reading.read("a\n", "", cancel=cancel, beside=True)
    cancel.cancel()
    assert not cancelled.result(10)
    replaced = reading.read("a\n", "")
    newest = reading.read("b\n", "")
    assert not replaced.result(10)
    reading.engine.close()
    assert not newest.result(10)
    assert not reading.read("c\n", "").result(10)


def test_with_an_unknown_cursor_the_first_request_reads_what_follows_the_cursor(reading: Reading) -> None:
    reading.read(TEXT)
    reading.wait()
    after = "".join(LINES[20:])
    assert evaluated(reading.ask("".join(LINES[:20]), after)) == len(after) + 2


def test_of_a_long_text_the_first_window_is_read_and_kept(reading: Reading) -> None:
    text = "".join(f"v{number} = {number}\n" for number in range(200))
    reading.read(text)
    reading.wait()
    assert 300 < reading.held() < reading.decoder.context
    cursor = text.index("v20 ")
    assert evaluated(reading.ask(text[:cursor], text[cursor:])) < reading.held() - cursor + 8


@pytest.mark.parametrize("family", ["starcoder", "refact"])
def test_a_document_that_is_opened_again_is_read_at_its_last_cursor(family: str) -> None:
    reading = Reading(family)
    reading.ask("".join(LINES[:20]), "".join(LINES[20:]))
    reading.decoder.caches.clear()
    reading.read(TEXT)
    reading.wait()
    assert evaluated(reading.ask("".join(LINES[:20]), "".join(LINES[20:]))) == 0
    reading.engine.close()


def test_text_that_follows_in_the_prompt_is_read_only_for_a_known_cursor() -> None:
    reading = Reading("refact")
    reading.read(TEXT)
    reading.wait()
    assert not reading.held()
    reading.read("".join(LINES[:5]), "".join(LINES[5:]))
    reading.wait()
    assert evaluated(reading.ask("".join(LINES[:5]), "".join(LINES[5:]))) == 0
    reading.engine.close()


def test_a_request_waits_for_one_short_step_and_keeps_what_was_read(reading: Reading) -> None:
    entered, release = reading.block()
    steps = reading.forward.steps
    reading.read(TEXT)
    assert entered.wait(10)
    answer = reading.engine.submit(request(TEXT, ""))
    reading.hook = lambda _: None
    release.set()
    assert answer.result(10).metrics.reused_tokens == IDLE_CHUNK
    assert reading.forward.widths[steps] == IDLE_CHUNK
    reading.wait()


def test_a_request_of_another_document_only_interrupts(reading: Reading) -> None:
    entered, release = reading.block()
    reading.read(TEXT)
    assert entered.wait(10)
    answer = reading.engine.submit(request("x\n", "", document_id="other"))
    reading.hook = lambda _: None
    release.set()
    assert answer.result(10).candidates
    reading.wait()
    assert reading.held() >= len(TEXT)


def test_it_can_be_cancelled(reading: Reading) -> None:
    entered, release = reading.block()
    cancel = CancelToken()
    reading.read(TEXT, cancel=cancel)
    assert entered.wait(10)
    cancel.cancel()
    release.set()
    reading.wait()
    assert reading.held() == IDLE_CHUNK
    reading.read(TEXT, document_id="other", cancel=cancel)
    reading.wait()
    assert not reading.held("other")


def test_of_many_documents_only_the_last_few_are_read(reading: Reading) -> None:
    entered, release = reading.block()
    running = reading.engine.submit(request("x\n", "", document_id="running"))
    assert entered.wait(10)
    for number in range(10):
        reading.read(TEXT, document_id=str(number))
    reading.hook = lambda _: None
    release.set()
    running.result(10)
    reading.wait()
    assert [number for number in range(10) if reading.held(str(number))] == [8, 9]


def test_no_cache_in_use_is_evicted(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    reading.decoder.caches.clear()
    reading.ask("x\n", "")
    reading.decoder.caches._budget = reading.decoder.caches.nbytes
    reading.read(TEXT, document_id="other")
    reading.wait()
    assert (bool(reading.held()), reading.held("other")) == (True, 0)
    monkeypatch.setattr(pool, "IN_USE_S", -1.0)
    reading.read(TEXT, document_id="other")
    reading.wait()
    assert reading.held("other") >= len(TEXT)
    monkeypatch.undo()
    reading.ask("y\n", "", "third")
    assert (bool(reading.held("third")), reading.held("other")) == (True, 0)


def test_a_replica_reads_the_documents_that_it_will_be_asked_for() -> None:
    replicas = [FakeEngine(), FakeEngine()]
    engine = ReplicatedEngine(replicas)
    for name in ("one", "two"):
        engine.read_ahead(request(TEXT, document_id=name), CancelToken())
        engine.submit(request(TEXT, "", document_id=name))
    for replica in replicas:
        assert [r.document_id for r in replica.requests] == [pending.request.document_id for pending in replica.read]


class Slow(ReadingSpeed):
    """A machine that reads so few tokens in the time for a prompt."""

    def tokens_in(self, seconds: float) -> int:
        return 20


BEFORE, AFTER = "".join(LINES[:20]), "".join(LINES[20:])


@pytest.fixture
def slow(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> Reading:
    monkeypatch.setattr(reading.decoder.speed, "__class__", Slow)
    return reading


def narrow(slow: Reading, before: str, after: str = AFTER) -> CompletionResult:
    return slow.engine.submit(request(before, after, may_be_narrow=True)).result(10)


def test_a_cold_cursor_is_answered_from_the_lines_around_it(slow: Reading) -> None:
    first = narrow(slow, BEFORE)
    assert first.metrics.narrow
    assert first.metrics.whole
    assert MIN_TOKENS - 40 < first.metrics.prompt_tokens <= MIN_TOKENS
    slow.wait()
    later = narrow(slow, BEFORE + "x")
    assert not later.metrics.narrow
    assert evaluated(later) <= 1
    assert later.metrics.prompt_tokens > len(TEXT)


def test_until_the_window_is_read_keys_cost_only_what_was_typed(slow: Reading) -> None:
    slow.be_idle_after(60.0)
    narrow(slow, BEFORE)
    for number in range(1, 4):
        entered, release = slow.block()
        slow.be_idle_after(0.0)
        assert entered.wait(10)  # a step of reading the window
        slow.be_idle_after(60.0)
        key = slow.engine.submit(request(BEFORE + "x" * number, AFTER, may_be_narrow=True))
        slow.hook = lambda _: None
        release.set()
        answer = key.result(10)
        assert answer.metrics.narrow
        assert evaluated(answer) <= 1
        assert slow.held() == number * IDLE_CHUNK
    slow.be_idle_after(0.0)
    slow.wait()
    assert not narrow(slow, BEFORE + "xy").metrics.narrow


def test_a_request_that_does_not_ask_for_it_sees_the_whole_window(slow: Reading) -> None:
    answer = slow.ask(BEFORE, AFTER)
    assert not answer.metrics.narrow
    assert answer.metrics.prompt_tokens > len(TEXT)


def test_nothing_is_narrow_where_memory_is_short(slow: Reading) -> None:
    slow.ask("x\n", "", "other")
    slow.decoder.caches._budget = slow.decoder.caches.nbytes  # for two caches
    assert narrow(slow, BEFORE).metrics.narrow
    slow.wait()
    assert not narrow(slow, BEFORE + "x").metrics.narrow
    slow.decoder.caches._budget //= 2
    assert not narrow(slow, "y" + BEFORE).metrics.narrow


def test_a_measured_machine_that_is_fast_shows_the_whole_window(reading: Reading) -> None:
    assert (reading.decoder.speed.tokens_in(1.0) or 0) > 1000
    answer = reading.engine.submit(request(BEFORE, AFTER, may_be_narrow=True)).result(10)
    assert not answer.metrics.narrow


def test_the_speed_is_that_of_recent_long_steps() -> None:
    speed = ReadingSpeed()
    assert speed.tokens_in(1.0) is None
    speed.record(8, 1.0)
    assert speed.tokens_in(1.0) is None
    speed.record(100, 1.0)
    assert speed.tokens_in(0.5) == 50
    speed.record(100, 3.0)
    assert speed.tokens_in(1.0) == 50


def test_a_suggestion_that_is_typed_along_does_not_end_the_reading(slow: Reading) -> None:
    slow.be_idle_after(60.0)
    narrow(slow, BEFORE)
    along = narrow(slow, BEFORE + "1")
    assert along.metrics.forward_passes == 0
    assert slow.engine._scheduler.is_to_read(DOCUMENT)
    slow.be_idle_after(0.0)
    slow.wait()
    assert not narrow(slow, BEFORE + "2").metrics.narrow
    slow.be_idle_after(60.0)
    slow.read(BEFORE, AFTER)
    slow.ask(BEFORE + "3", AFTER)
    until(lambda: not slow.engine._scheduler.is_to_read(DOCUMENT))
