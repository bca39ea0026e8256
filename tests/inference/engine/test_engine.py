"""The engine's thread: states, queue, cancel, and what happens when things go wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from helpers import loaded, scripted_decoder, until

from lacuna_inference.api import CancelToken, CompletionResult, EngineState, ModelOptions, Phase, Request
from lacuna_inference.engine.assemble import LoadedModel
from lacuna_inference.engine.engine import ModelEngine, Progress
from lacuna_inference.errors import EngineUnavailable, ModelNotFound, NotEnoughMemory, RequestCancelled

REQUEST = Request(("def f():\n", "\n"))
OTHER = Request(("def g():\n", "\n"))
"""A request not sent before: a repeated one would be answered without the model."""
Hook = Callable[[int], None]


class Model:
    """A scripted model whose loading and steps are controlled by the test. The warm-up takes the first steps."""

    def __init__(self, fill: str = "1") -> None:
        self.may_load = threading.Event()
        self.may_load.set()
        self.hook: Hook = lambda _: None
        self.decoder = scripted_decoder(fill, on_step=lambda number: self.hook(number))

    def load(self, progress: Progress) -> LoadedModel:
        progress(0.5, "half")
        self.may_load.wait(10)
        return loaded(self.decoder)


def engine_with(model: Model) -> ModelEngine:
    return ModelEngine(ModelOptions("scripted"), model.load)


def result(engine: ModelEngine, request: Request = REQUEST) -> CompletionResult:
    return engine.submit(request).result(10)


def test_loading_starts_in_the_background_and_ends_warm() -> None:
    model = Model()
    model.may_load.clear()
    engine = engine_with(model)
    states: list[EngineState] = []
    engine.watch(states.append)
    engine.start()
    waiting = engine.submit(REQUEST)
    assert engine.state.phase is Phase.LOADING
    model.may_load.set()
    assert waiting.result(10).candidates[0].text == "1"
    assert [state.phase for state in states] == [Phase.UNLOADED, Phase.LOADING, Phase.LOADING, Phase.WARM]
    assert [state.progress for state in states] == [0, 0, 0.5, 1]
    assert engine.close()


def test_submit_starts_an_unloaded_engine() -> None:
    engine = engine_with(Model())
    assert result(engine).model == "scripted"
    assert engine.close()


def test_a_failed_load_says_what_to_do_and_fails_requests() -> None:
    def load(_: Progress) -> LoadedModel:
        raise ModelNotFound("It is not there.", "Fetch it.")

    engine = ModelEngine(ModelOptions("x"), load)
    with pytest.raises(EngineUnavailable, match=r"not there. Fetch it."):
        result(engine)
    assert engine.state.phase is Phase.FAILED
    with pytest.raises(EngineUnavailable, match="Fetch it"):
        result(engine)


def test_an_unexpected_loading_failure_is_also_a_state(caplog: pytest.LogCaptureFixture) -> None:
    def load(_: Progress) -> LoadedModel:
        raise KeyError("surprise")

    engine = ModelEngine(ModelOptions("x"), load)
    with pytest.raises(EngineUnavailable, match=r"KeyError.*lacuna doctor"):
        result(engine)
    assert "surprise" in caplog.text


@pytest.mark.parametrize("error", [MemoryError("no"), RuntimeError("CUDA out of memory. Tried to allocate")])
def test_out_of_memory_fails_that_request_only(error: BaseException) -> None:
    model = Model()
    engine = engine_with(model)
    result(engine)

    def fail(_: int) -> None:
        raise error

    model.hook = fail
    with pytest.raises(NotEnoughMemory, match="ran out of memory"):
        result(engine, OTHER)
    assert model.decoder.caches.cache_for(None, [1]).tokens == ()
    model.hook = lambda _: None
    assert result(engine).candidates[0].text == "1"
    engine.close()


def test_an_unexpected_error_is_logged_and_serving_continues(caplog: pytest.LogCaptureFixture) -> None:
    model = Model()
    engine = engine_with(model)
    result(engine)

    def fail(_: int) -> None:
        raise ZeroDivisionError("oops")

    model.hook = fail
    with pytest.raises(EngineUnavailable, match="unexpected error"):
        result(engine, OTHER)
    model.hook = lambda _: None
    assert result(engine).candidates[0].text == "1"
    assert "oops" in caplog.text
    assert "def f()" not in caplog.text
    engine.close()


class Panic(BaseException):
    """As raised by a native library: not an `Exception`."""


@pytest.mark.parametrize("while_loading", [True, False])
def test_a_panic_leaves_no_request_waiting(while_loading: bool) -> None:
    model = Model()

    def panic(_: int) -> None:
        raise Panic("lost")

    engine = engine_with(model)
    if not while_loading:
        result(engine)
    model.hook = panic
    with pytest.raises(EngineUnavailable):
        result(engine, OTHER)
    with pytest.raises(EngineUnavailable, match="Panic"):
        result(engine)
    assert engine.state.phase is Phase.FAILED


class Blocked:
    """Blocks the model in its next step until `release`."""

    def __init__(self, model: Model) -> None:
        self.entered, self._release = threading.Event(), threading.Event()
        model.hook = self._hook

    def _hook(self, _: int) -> None:
        self.entered.set()
        self._release.wait(10)

    def release(self) -> None:
        self._release.set()


def test_cancel_ends_a_running_request_and_frees_the_engine() -> None:
    model = Model("x" * 40)
    engine = engine_with(model)
    result(engine)
    blocked, cancel = Blocked(model), CancelToken()
    running = engine.submit(Request(("other\n", "")), cancel)
    assert blocked.entered.wait(10)
    cancel.cancel()
    blocked.release()
    with pytest.raises(RequestCancelled):
        running.result(10)
    assert result(engine).candidates[0].text == "x" * 40
    engine.close()


def test_the_newest_request_of_a_document_replaces_older_ones() -> None:
    model = Model("xy")
    engine = engine_with(model)
    result(engine)
    blocked = Blocked(model)
    running = engine.submit(Request(("a\n", ""), document_id="document"))
    assert blocked.entered.wait(10)
    queued = engine.submit(Request(("ab\n", ""), document_id="document"))
    other = engine.submit(Request(("z\n", ""), document_id="another"))
    newest = engine.submit(Request(("abc\n", ""), document_id="document"))
    blocked.release()
    for replaced in (running, queued):
        with pytest.raises(RequestCancelled):
            replaced.result(10)
    assert newest.result(10).candidates[0].text == other.result(10).candidates[0].text == "xy"
    engine.close()


def test_close_answers_everything_and_ends_the_thread() -> None:
    model = Model("x" * 40)
    engine = ModelEngine(ModelOptions("scripted", batch=1), model.load)
    result(engine)
    blocked = Blocked(model)
    running = engine.submit(OTHER)
    queued = engine.submit(REQUEST)
    assert blocked.entered.wait(10)
    threading.Timer(0.05, blocked.release).start()
    assert engine.close(10)
    with pytest.raises(RequestCancelled):
        running.result(1)
    for refused in (queued, engine.submit(REQUEST)):
        with pytest.raises(EngineUnavailable, match="closed"):
            refused.result(1)


def test_a_future_cancelled_by_its_waiter_is_skipped() -> None:
    model = Model()
    model.may_load.clear()
    engine = engine_with(model)
    abandoned = engine.submit(REQUEST)
    assert abandoned.cancel()
    model.may_load.set()
    assert result(engine).candidates[0].text == "1"
    engine.close()


def follow(engine: ModelEngine, model: Model, request: Request) -> int:
    """Answers `request` and waits until its prefetching is done; returns the forward passes of the prefetching."""
    result(engine, request)
    before = model.decoder.caches.counts.passes
    until(lambda: engine._scheduler.idle)
    return model.decoder.caches.counts.passes - before


def test_while_idle_the_answer_after_accepting_is_prefetched() -> None:
    model = Model("x = 1\ny = 2")
    engine = engine_with(model)
    request = Request(("a\n", "\nb"), document_id="document", prefetch_next=True)
    assert follow(engine, model, request) > 0
    accepted = result(engine, Request(("a\nx = 1\ny = 2", "\nb"), document_id="document"))
    assert accepted.metrics.forward_passes == 0
    typed = result(engine, Request(("a\n", "\nb"), document_id="document"))
    assert typed.metrics.forward_passes == 0
    engine.close()


def test_an_answer_cut_by_the_deadline_is_finished_while_idle() -> None:
    model = Model("x" * 30)
    model.hook = lambda _: time.sleep(0.01)
    engine = engine_with(model)
    request = Request(("a\n", "\nb"), document_id="document", prefetch_next=True, deadline_s=0.05)
    assert follow(engine, model, request) > 10
    whole = result(engine, Request(("a\n", "\nb"), document_id="document"))
    assert (whole.candidates[0].text, whole.metrics.forward_passes) == ("x" * 30, 0)
    engine.close()


def test_the_canonical_layout_is_restored_in_a_pause() -> None:
    model = Model("1")
    model.decoder = replace(model.decoder, relayout_on_pause=True)
    engine = engine_with(model)
    before = "a\nxxxxxxxxxx ="
    follow(engine, model, Request((before + " fo", "\nb"), document_id="document", prefetch_next=True))
    assert model.decoder.anchors.of("document", before + " foo", "\nb", 0).before == before
    assert model.decoder.anchors.of("document", before + "\n", "\nb", len(before) + 1).before == before + "\n"
    engine.close()


def test_a_request_stops_prefetching() -> None:
    model = Model("xy")
    engine = engine_with(model)
    result(engine)
    blocked = Blocked(model)
    engine._scheduler.enqueue_prefetch(Request(("spare\n", ""), document_id="document", is_prefetch=True))
    engine._scheduler._quiet_s = 0
    with engine._scheduler._changed:
        engine._scheduler._changed.notify()
    assert blocked.entered.wait(10)
    (prefetch,) = engine._scheduler._running
    waiting = engine.submit(OTHER)
    blocked.release()
    assert waiting.result(10).candidates[0].text == "xy"
    with pytest.raises(RequestCancelled):
        prefetch.future.result(10)
    engine.close()


def test_an_unused_model_is_unloaded_and_loaded_again() -> None:
    model = Model()
    engine = ModelEngine(ModelOptions("scripted", idle_unload_s=0.05), model.load)
    unloaded = threading.Event()
    phases: list[Phase] = []

    def note(state: EngineState) -> None:
        phases.append(state.phase)
        if phases[-2:] == [Phase.WARM, Phase.ASLEEP]:
            unloaded.set()

    engine.watch(note)
    assert result(engine).candidates[0].text == "1"
    assert unloaded.wait(10)
    assert result(engine, OTHER).candidates[0].text == "1"
    assert phases.count(Phase.WARM) == 2
    assert engine.close()


def test_an_unloaded_engine_can_be_closed() -> None:
    engine = ModelEngine(ModelOptions("scripted", idle_unload_s=0.01), Model().load)
    unloaded = threading.Event()
    result(engine)
    engine.watch(lambda state: unloaded.set() if state.phase is Phase.ASLEEP else None)
    assert unloaded.wait(10)
    assert engine.close(5)
