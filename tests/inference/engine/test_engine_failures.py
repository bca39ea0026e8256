"""What an engine does when something other than a request fails: the device, a library, or a listener."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Generator, Iterator

import pytest
import torch
from helpers import loaded, scripted_decoder

from lacuna_inference.api import (
    CancelToken,
    CompletionResult,
    EngineState,
    ModelOptions,
    Phase,
    Request,
    RequestMetrics,
    StreamEvent,
    TokenizeOptions,
)
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.engine import batch as batch_module
from lacuna_inference.engine.assemble import LoadedModel
from lacuna_inference.engine.batch import Batch
from lacuna_inference.engine.engine import ModelEngine, Progress
from lacuna_inference.engine.fake import FakeEngine
from lacuna_inference.engine.replicas import ReplicatedEngine
from lacuna_inference.engine.scheduler import Scheduler
from lacuna_inference.errors import BadRequest, EngineUnavailable, RequestCancelled
from lacuna_inference.forward import Step

DEVICE_ERROR = "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported"


class Model:
    """A scripted model, created by each load; the first `broken` of them fail after their warm-up."""

    def __init__(self, fill: str = "1", broken: int = 0, error: BaseException | None = None) -> None:
        self.loads = 0
        self.fails = threading.Event()
        self._fill, self._broken, self._error = fill, broken, error or RuntimeError(DEVICE_ERROR)

    def load(self, _: Progress) -> LoadedModel:
        self.loads += 1
        number = self.loads

        def on_step(_: int) -> None:
            if number <= self._broken and self.fails.is_set():
                raise self._error

        return loaded(scripted_decoder(self._fill, on_step=on_step))


@pytest.fixture
def engines() -> Iterator[list[ModelEngine]]:
    made: list[ModelEngine] = []
    yield made
    for engine in made:
        assert engine.close(10)


def start(engines: list[ModelEngine], load: Callable[[Progress], LoadedModel], **options: object) -> ModelEngine:
    engines.append(ModelEngine(ModelOptions("scripted", **options), load))  # type: ignore[arg-type]
    return engines[-1]


def ask(engine: ModelEngine, text: str = "a\n") -> CompletionResult:
    return engine.submit(Request((text, "\n"))).result(10)


def phases(engine: ModelEngine) -> list[Phase]:
    """The phases of `engine` from now on; the list grows."""
    seen: list[Phase] = []
    engine.watch(lambda state: seen.append(state.phase))
    return seen


@pytest.mark.parametrize("kind", [RuntimeError, torch.AcceleratorError])
def test_a_failed_device_reloads_the_model(engines: list[ModelEngine], kind: type[Exception]) -> None:
    error = kind.__new__(kind, DEVICE_ERROR)
    model = Model(broken=1, error=error)
    engine = start(engines, model.load)
    ask(engine)
    seen = phases(engine)
    model.fails.set()
    with pytest.raises(EngineUnavailable):
        ask(engine, "b\n")
    assert ask(engine, "c\n").candidates[0].text == "1"
    assert seen == [Phase.WARM, Phase.LOADING, Phase.WARM]
    assert model.loads == 2


def test_repeated_device_failures_fail_the_engine(engines: list[ModelEngine]) -> None:
    model = Model(broken=9)
    engine = start(engines, model.load)
    engine.watch(lambda state: model.fails.set() if state.phase is Phase.WARM else model.fails.clear())
    failed = threading.Event()
    engine.watch(lambda state: failed.set() if state.phase is Phase.FAILED else None)
    for number in range(3):
        with pytest.raises(EngineUnavailable):
            ask(engine, f"{number}\n")
    assert failed.wait(10)
    assert "CUDA error: device-side assert triggered. It happened 3 times in a row." in engine.state.message
    assert "reported" not in engine.state.message
    assert model.loads == 3
    with pytest.raises(EngineUnavailable, match="3 times"):
        ask(engine)


def test_a_device_missing_at_reload_is_a_one_line_error(engines: list[ModelEngine]) -> None:
    model = Model(broken=9)
    engine = start(engines, model.load)
    ask(engine)
    failed = threading.Event()
    engine.watch(lambda state: failed.set() if state.phase is Phase.FAILED else None)
    model.fails.set()
    with pytest.raises(EngineUnavailable):
        ask(engine, "b\n")
    assert failed.wait(10)
    assert engine.state.message == (
        "The device failed: CUDA error: device-side assert triggered."
        " Start Lacuna again: this process cannot use it any more."
    )


def test_a_model_that_fails_every_request_is_reloaded(engines: list[ModelEngine]) -> None:
    model = Model(broken=1, error=ZeroDivisionError("oops"))
    engine = start(engines, model.load)
    ask(engine)
    model.fails.set()
    for number in range(3):
        with pytest.raises(EngineUnavailable):
            ask(engine, f"{number}\n")
    assert ask(engine, "b\n").candidates[0].text == "1"
    assert model.loads == 2


def test_requests_that_fail_through_their_own_fault_do_not_unload_the_model(engines: list[ModelEngine]) -> None:
    model = Model()
    engine = start(engines, model.load)
    ask(engine)

    def on_token(_: StreamEvent) -> None:
        raise RuntimeError("CUDA error: says who?")

    for number in range(7):
        with pytest.raises(EngineUnavailable, match="unexpected"):
            engine.submit(Request((f"{number}\n", "\n"), on_token=on_token)).result(10)
    assert ask(engine, "b\n").candidates[0].text == "1"
    assert model.loads == 1


def test_concurrent_requests_fail_with_a_reload_message(
    engines: list[ModelEngine],
) -> None:
    model = Model("x" * 40, broken=1)
    engine = start(engines, model.load)
    ask(engine)
    with engine._scheduler._changed:
        futures = [engine.submit(Request((f"{n}\n", "\n"))) for n in range(3)]
        model.fails.set()
    errors = [future.exception(10) for future in futures]
    assert all(isinstance(error, EngineUnavailable) for error in errors)
    assert sum("loaded again; ask again" in str(error) for error in errors) == 2
    assert ask(engine, "b\n").candidates[0].text == "x" * 40
    assert engine.close(10)
    assert not engine._scheduler._running


class Panic(BaseException):
    """As raised by a native library: not an `Exception`."""


def test_a_request_that_panics_before_its_first_step_is_answered(
    engines: list[ModelEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start(engines, Model().load)
    ask(engine)

    def panics(*_: object) -> None:
        raise Panic

    monkeypatch.setattr(batch_module, "answer_steps", panics)
    with pytest.raises(EngineUnavailable):
        ask(engine, "b\n")
    engine._thread.join(10)
    assert engine.state.phase is Phase.FAILED


def ends_or_panics(*, panics: str) -> Callable[..., Iterator[Step]]:
    """Replaces `answer_steps`: each request takes one step; the one with the path `panics` panics, the others end."""

    def steps(decoder: object, _: str, state: RequestState) -> Generator[Step, None, CompletionResult]:
        yield Step([1], decoder.caches.forward.new_kv_cache())  # type: ignore[attr-defined]
        if state.request.path == panics:
            raise Panic
        return CompletionResult((), RequestMetrics(), str(state.request.path))

    return steps


def test_a_request_finished_before_a_panic_keeps_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "answer_steps", ends_or_panics(panics="b"))
    batch = Batch(scripted_decoder("1"), "m", 8)
    jobs = {path: RequestState(Request(("x",), path=path), CancelToken()) for path in "abc"}
    for job in jobs.values():
        assert batch.start(job) == []
    with pytest.raises(Panic):
        batch.advance()
    given_up = EngineUnavailable("Given up.")
    outcomes = dict(batch.abort(given_up))
    assert outcomes == {
        jobs["a"]: CompletionResult((), RequestMetrics(), "a"),
        jobs["b"]: given_up,
        jobs["c"]: given_up,
    }
    assert not batch


def test_a_panic_in_a_forward_pass_keeps_the_answers_to_cancelled_requests() -> None:
    decoder = scripted_decoder("abc")
    batch = Batch(decoder, "m", 8)
    left, stays = (RequestState(Request((text, "\n")), CancelToken()) for text in ("a\n", "b\n"))
    batch.start(left)
    batch.start(stays)
    left.cancel.cancel()

    def panics(*_: object) -> torch.Tensor:
        raise Panic

    decoder.caches.forward.step = panics  # type: ignore[method-assign]
    with pytest.raises(Panic):
        batch.advance()
    given_up = EngineUnavailable("Given up.")
    outcomes = dict(batch.abort(given_up))
    assert isinstance(outcomes[left], RequestCancelled)
    assert outcomes[stays] is given_up


def test_no_request_is_left_waiting_when_the_thread_ends(engines: list[ModelEngine]) -> None:
    class Unclosable(LoadedModel):
        def close(self) -> None:
            raise Panic

    made = loaded(scripted_decoder("1"))
    fields = {name: getattr(made, name) for name in LoadedModel.__dataclass_fields__}
    engine = start(engines, lambda _: Unclosable(**fields), idle_unload_s=0.01)
    ask(engine)
    engine._thread.join(10)
    with pytest.raises(EngineUnavailable, match="Panic"):
        ask(engine)


class Listener:
    """Fails whenever it is notified of `phase`."""

    def __init__(self, phase: Phase) -> None:
        self._phase = phase
        self.phases: list[Phase] = []

    def __call__(self, state: EngineState) -> None:
        self.phases.append(state.phase)
        if state.phase is self._phase:
            raise ValueError("no window any more")


@pytest.mark.parametrize("phase", [Phase.UNLOADED, Phase.LOADING, Phase.WARM, Phase.ASLEEP])
def test_a_listener_that_raises_has_no_effect(
    engines: list[ModelEngine], phase: Phase, caplog: pytest.LogCaptureFixture
) -> None:
    engine = start(engines, Model().load, idle_unload_s=0.01)
    asleep = threading.Event()
    listener = Listener(phase)
    engine.watch(listener)
    engine.watch(lambda state: asleep.set() if state.phase is Phase.ASLEEP else None)
    assert ask(engine).candidates[0].text == "1"
    assert asleep.wait(10)
    assert ask(engine, "b\n").candidates[0].text == "1"
    assert {Phase.UNLOADED, Phase.LOADING, Phase.WARM, Phase.ASLEEP} == set(listener.phases)
    assert "no window any more" in caplog.text


def test_a_listener_that_raises_on_a_failed_load_leaves_no_request_waiting(engines: list[ModelEngine]) -> None:
    def load(_: Progress) -> LoadedModel:
        raise BadRequest("It is no model.")

    engine = start(engines, load)
    engine.watch(Listener(Phase.FAILED))
    with pytest.raises(EngineUnavailable, match="no model"):
        ask(engine)
    assert engine.state.phase is Phase.FAILED


@pytest.mark.parametrize("replicated", [False, True])
def test_other_engines_survive_failing_listeners(replicated: bool) -> None:
    fake = FakeEngine(phase=Phase.UNLOADED)
    engine = ReplicatedEngine([fake]) if replicated else fake
    reached: list[Phase] = []
    engine.watch(Listener(Phase.WARM))
    engine.watch(lambda state: reached.append(state.phase))
    engine.start()
    assert reached == [Phase.UNLOADED, Phase.WARM]
    assert engine.state.phase is Phase.WARM


def test_a_request_cancelled_in_the_queue_is_removed_at_once() -> None:
    jobs, cancel = Scheduler(), CancelToken()
    stays, leaves = RequestState(Request(("a",)), CancelToken()), RequestState(Request(("b",)), cancel)
    jobs.add(stays)
    jobs.add(leaves)
    future, held = leaves.future, weakref.ref(leaves)
    del leaves
    cancel.cancel()
    with pytest.raises(RequestCancelled):
        future.result(0)
    assert list(jobs._waiting) == [stays]
    gc.collect()
    assert held() is None  # although its token and its future still exist


def test_a_request_whose_future_is_cancelled_in_the_queue_is_removed_at_once() -> None:
    jobs, job = Scheduler(), RequestState(Request(("text",)), CancelToken())
    jobs.add(job)
    assert job.future.cancel()
    assert not jobs._waiting


def test_a_request_cancelled_before_submission_does_not_wait() -> None:
    jobs, job = Scheduler(), RequestState(Request(("text",)), CancelToken())
    job.cancel.cancel()
    jobs.add(job)
    assert job.future.done()
    assert not jobs._waiting


def test_a_cancel_while_the_model_loads_is_answered_at_once(engines: list[ModelEngine]) -> None:
    may_load = threading.Event()

    def load(_: Progress) -> LoadedModel:
        assert may_load.wait(10)
        return loaded(scripted_decoder("1"))

    engine = start(engines, load)
    cancel = CancelToken()
    future = engine.submit(Request(("a\n", "\n")), cancel)
    cancel.cancel()
    with pytest.raises(RequestCancelled):
        future.result(0)
    may_load.set()
    assert ask(engine).candidates[0].text == "1"


def test_a_tokenize_request_does_not_end_the_engine(engines: list[ModelEngine]) -> None:
    """It is answered without candidates, so nothing is prefetched."""
    engine = start(engines, Model("x = 1").load)
    request = Request(("a",), document_id="document", prefetch_next=True, tokenize=TokenizeOptions())
    assert engine.submit(request).result(10).candidates == ()
    ask(engine)
    assert engine.state.phase is Phase.WARM


def test_prefetching_after_an_answer_streams_no_tokens(engines: list[ModelEngine]) -> None:
    model = Model("x = 1")
    engine = start(engines, model.load)
    ask(engine)
    events: list[StreamEvent] = []
    request = Request(("a\n", "\nb"), document_id="document", prefetch_next=True, on_token=events.append)
    queued: list[Request] = []
    engine._scheduler.enqueue_prefetch = queued.append  # type: ignore[method-assign]
    engine.submit(request).result(10)
    ask(engine, "b\n")  # by now the prefetch has been enqueued
    assert events
    assert [(one.is_prefetch, one.on_token) for one in queued] == [(True, None)]
