"""Documents that are read before anybody asks: what the first request finds, and who must not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from helpers import ScriptedForward, loaded, scripted_decoder, until

from lacuna_inference.api import CancelToken, CompletionResult, ModelOptions, Request, Stop
from lacuna_inference.cache import pool
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.engine.fake import FakeEngine
from lacuna_inference.engine.replicas import ReplicatedEngine
from lacuna_inference.forward import IDLE_CHUNK

LINES = [f"v{number} = {number}\n" for number in range(30)]
TEXT = "".join(LINES)
DOCUMENT = "file:///w/a.py"


class Reading:
    """An engine with a scripted model, of which the test holds a step."""

    def __init__(self, family: str = "starcoder") -> None:
        self.hook: Callable[[int], None] = lambda _: None
        self.decoder: Decoder = scripted_decoder("1", family, lambda number: self.hook(number))
        self.engine = ModelEngine(ModelOptions("scripted"), lambda _: loaded(self.decoder))
        self.engine._scheduler._quiet_s = 0.0
        self.ask("warm\n", "", "warm")

    @property
    def forward(self) -> ScriptedForward:
        forward = self.decoder.caches.forward
        assert isinstance(forward, ScriptedForward)
        return forward

    def ask(self, before: str, after: str, document_id: str = DOCUMENT) -> CompletionResult:
        return self.engine.submit(request(before, after, document_id=document_id)).result(10)

    def read(self, *parts: str, document_id: str = DOCUMENT, cancel: CancelToken | None = None) -> None:
        self.engine.read_ahead(request(*parts, document_id=document_id), cancel or CancelToken())

    def wait(self) -> None:
        until(lambda: self.engine._scheduler.idle)

    def held(self, document_id: str = DOCUMENT) -> int:
        """Tokens that are read of a document."""
        cache = self.decoder.caches._caches.get((document_id, False))
        return 0 if cache is None else len(cache.tokens)

    def block(self) -> tuple[threading.Event, threading.Event]:
        """Holds the next step; the events are set when it has begun, and to end it."""
        entered, release = threading.Event(), threading.Event()

        def hook(_: int) -> None:
            entered.set()
            release.wait(10)

        self.hook = hook
        return entered, release


def request(*parts: str, document_id: str = DOCUMENT) -> Request:
    return Request(parts, "a.py", Stop(max_tokens=4), document_id=document_id)


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
    cursor = text.index("v20")
    assert evaluated(reading.ask(text[:cursor], text[cursor:])) < reading.held() - cursor + 8


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
