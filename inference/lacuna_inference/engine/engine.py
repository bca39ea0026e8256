"""One model in one background thread: loads it, warms it up, and answers requests in batches.

Does not import torch; the thread does, so that a server can start the engine before it has answered `initialize`.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from lacuna_inference.api import (
    CancelToken,
    CompletionResult,
    EngineState,
    ModelOptions,
    Phase,
    Request,
    Stop,
)
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.engine.prefetch import prefetch_requests
from lacuna_inference.engine.scheduler import Scheduler, resolve
from lacuna_inference.engine.threaded import ThreadedEngine
from lacuna_inference.errors import EngineUnavailable, LacunaError, device_failed, first_line

if TYPE_CHECKING:
    from torch import Tensor

    from lacuna_inference.engine.assemble import LoadedModel
    from lacuna_inference.engine.batch import Finished
    from lacuna_inference.engine.keeping import Keeper

logger = logging.getLogger(__name__)

_SWITCH_INTERVAL_S = 0.0005
"""The interpreter's thread switch interval in seconds. Python's default, 5 ms, is an edit's whole time budget."""
_NICENESS = 5
"""The thread's nice value, which counts when all cores are busy. On two cores, while a model decoded, the 99th
percentile of an edit and a command after it was 9 ms without it and 6 ms with it."""

_MAX_FAILURES, _FAILURE_WINDOW_S = 3, 300.0
"""A model that fails this often within this many seconds is not loaded again."""

Progress = Callable[[float, str], None]
Load = Callable[[Progress], "LoadedModel"]

_WARM_UP = Request(("def add(a, b):\n    return ", "\n"), path="warm_up.py", stop=Stop(max_tokens=4))
_MEASURED = Request(("numbers = [1, 2, 3]\n" * 6, "\n"), path="warm_up.py", stop=Stop(max_tokens=0))
"""Some seventy tokens, whose reading is timed."""


class ModelEngine(ThreadedEngine):
    """The `Engine` that runs a model in this process. See `api.Engine` for the contract."""

    def __init__(self, options: ModelOptions, load: Load | None = None) -> None:
        super().__init__(EngineState(Phase.UNLOADED, model=options.model), "lacuna-engine")
        self._name = options.model
        self._idle_unload_s = options.idle_unload_s
        self._max_batch = max(1, options.batch)
        self._load = load or _loader(options)
        self._scheduler = Scheduler()
        self._failed_at: list[float] = []

    def submit(self, request: Request, cancel: CancelToken | None = None) -> Future[CompletionResult]:
        state = RequestState(request, cancel or CancelToken())
        with self._changed:
            if (refusal := self._refusal()) is not None:
                state.future.set_exception(refusal)
                return state.future
            self._scheduler.add(state)
        self.start()
        return state.future

    def read_ahead(self, request: Request, cancel: CancelToken, beside: bool = False) -> Future[bool]:
        with self._changed:
            if self._refusal() is None:
                return self._scheduler.enqueue_reading(request, cancel, beside)
        refused: Future[bool] = Future()
        refused.set_result(False)
        return refused

    def close(self, timeout: float = 2.0) -> bool:
        with self._changed:
            self._closed = True
            self._scheduler.close(EngineUnavailable("The engine was closed."))
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _refusal(self) -> LacunaError | None:
        if self._closed:
            return EngineUnavailable("The engine was closed.")
        if self._state.phase is Phase.FAILED:
            return EngineUnavailable(f"The model is not loaded: {self._state.message}")
        return None

    def _run(self) -> None:
        """Whatever ends the thread, every request gets an outcome."""
        try:
            _lower_priority()
            self._load_and_serve()
        except BaseException as error:  # a native library panicked; its state cannot be trusted any more
            logger.critical("The engine ended.", exc_info=True)
            self._fail(f"The engine ended: {type(error).__name__}. Restart it.")

    def _load_and_serve(self) -> None:
        """Loads the model and serves. Reloads after a failure, or when a request arrives after an idle unload."""
        while not self._closed and (model := self._loaded()) is not None:
            try:
                failure = self._serve(model)
            finally:
                model.close()
            del model
            _release_memory()
            if self._closed or (failure and not self._may_reload(failure)):
                break
            if not failure:
                self._enter(EngineState(Phase.ASLEEP, message="The model was not used for a while.", model=self._name))
                self._scheduler.wait()
                self._enter_loading()

    def _loaded(self) -> LoadedModel | None:
        try:
            with _without_garbage_collection():
                model = self._load(self._on_progress)
            reading_speed = _warm_up(model)
        except LacunaError as error:
            self._fail(str(error))
        except BaseException as error:  # also a panic in a native library: requests wait for the outcome
            logger.exception("The model failed to load.")
            self._fail(_why_not_loaded(error))
        else:
            message = f"{model.name} on {model.device} in {model.dtype}"
            facts = replace(model.facts, reading_speed=reading_speed)
            self._enter(EngineState(Phase.WARM, 1.0, message, model.name, facts))
            return model
        return None

    def _serve(self, model: LoadedModel) -> str:
        """Answers requests in batches. Ends after a long idle time, or when the model fails; returns the failure."""
        from lacuna_inference.engine.batch import Batch, unexpected
        from lacuna_inference.engine.keeping import Keeper

        batch, keeper = Batch(model.decoder, model.name, self._max_batch), Keeper(model.decoder)

        def may_start() -> bool:
            return batch.has_room and not (model.failure or batch.failure)

        try:
            while not (model.failure or batch.failure):
                while may_start() and (state := self._scheduler.take(0.0) if batch else self._wait(keeper)):
                    self._resolve(model, batch.start(state))
                if not batch:
                    break
                self._resolve(model, batch.advance())
        except BaseException:
            self._resolve(model, batch.abort(unexpected()))
            raise
        failure = model.failure or batch.failure
        self._resolve(model, batch.abort(EngineUnavailable(failure, "The model is loaded again; ask again.")))
        if not failure:
            keeper.close()
        return failure

    def _wait(self, keeper: Keeper) -> RequestState | None:
        """The next request; None after a long idle time, or when the engine was closed. Meanwhile caches are saved."""
        unload_at = None if self._idle_unload_s is None else time.monotonic() + self._idle_unload_s
        while True:
            to_unload, to_save = None if unload_at is None else unload_at - time.monotonic(), keeper.wait_s()
            patience = min((seconds for seconds in (to_unload, to_save) if seconds is not None), default=None)
            state = self._scheduler.take(None if patience is None else max(0.0, patience))
            if state is not None or self._closed or patience is None or patience == to_unload:
                return state
            keeper.save_one()

    def _resolve(self, model: LoadedModel, finished: Finished) -> None:
        for state, outcome in finished:
            resolve(state, outcome)
        for state, outcome in finished:
            if isinstance(outcome, CompletionResult):
                self._enqueue_prefetch(model, state.request, outcome)
            self._scheduler.done(state)

    def _enqueue_prefetch(self, model: LoadedModel, request: Request, result: CompletionResult) -> None:
        """Queues what is worth computing after an answer. A failure is only logged: the caller has the answer."""
        document_id = request.document_id or ""
        if result.metrics.narrow:
            self._scheduler.enqueue_reading(replace(request, on_token=None), CancelToken())
        elif result.metrics.prompt_tokens:
            self._scheduler.drop_reading(document_id)
        if self._scheduler.is_to_read(document_id):  # first: prefetching would need its caches
            return
        try:
            for prefetch in prefetch_requests(model.decoder, request, result):
                self._scheduler.enqueue_prefetch(prefetch)
        except Exception:
            logger.exception("Prefetching after an answer failed.")

    def _may_reload(self, failure: str) -> bool:
        """Whether to load the model again after a failure, unless it fails too often. Enters the new phase."""
        now = time.monotonic()
        self._failed_at = [*(then for then in self._failed_at if now - then < _FAILURE_WINDOW_S), now]
        if len(self._failed_at) >= _MAX_FAILURES:
            self._fail(f"{failure} It happened {_MAX_FAILURES} times in a row. Look into the log, then restart it.")
            return False
        logger.error("%s The model is loaded again.", failure)
        self._enter(EngineState(Phase.LOADING, message=failure, model=self._name))
        return True

    def _on_progress(self, fraction: float, message: str) -> None:
        if self._closed:
            raise EngineUnavailable("The engine was closed.")
        self._enter(EngineState(Phase.LOADING, fraction, message, self._name))

    def _fail(self, message: str) -> None:
        with self._changed:
            try:
                self._enter(EngineState(Phase.FAILED, message=message, model=self._name))
            finally:
                self._scheduler.fail_all(EngineUnavailable(f"The model is not loaded: {message}"))

    def _enter_loading(self) -> None:
        self._enter(EngineState(Phase.LOADING, model=self._name))

    def _enter(self, state: EngineState) -> None:
        with self._changed:
            self._state = state = replace(state, facts=state.facts if state.facts.family else self._state.facts)
            self._listeners.notify(state)


def _why_not_loaded(error: BaseException) -> str:
    if device_failed(error):
        return f"The device failed: {first_line(error)}. Start Lacuna again: this process cannot use it any more."
    return f"The model failed to load: {type(error).__name__}: {first_line(error)}. Run: lacuna doctor"


def _release_memory() -> None:
    from lacuna_inference.engine.health import empty_device_cache

    empty_device_cache()


def _lower_priority() -> None:
    """Gives other threads precedence over this one. Only Linux has a nice value for each thread."""
    sys.setswitchinterval(min(_SWITCH_INTERVAL_S, sys.getswitchinterval()))
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _loader(options: ModelOptions) -> Load:
    kept: dict[str, Tensor] | None = None if options.idle_unload_s is None else {}

    def load(progress: Progress) -> LoadedModel:
        progress(0.0, "starting")
        from lacuna_inference.models.loading.sources import configure_libraries

        configure_libraries()
        from lacuna_inference.engine import assemble

        return assemble.load_model(options, progress, kept)

    return load


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Loading makes millions of objects that stay: looking through them again and again takes a quarter second."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _warm_up(model: LoadedModel) -> float:
    """Runs the model for the first time, which takes longer. Returns how fast it reads, in tokens per second."""
    from lacuna_inference.decoding.answer import answer

    first = replace(_WARM_UP, stop=Stop(max_tokens=1)) if model.device == "cpu" else _WARM_UP
    answer(model.decoder, model.name, first, CancelToken(), time.perf_counter())
    model.decoder.caches.clear()  # one for each would stay in memory
    read = answer(model.decoder, model.name, _MEASURED, CancelToken(), time.perf_counter()).metrics
    model.decoder.speed.record(read.evaluated_tokens, read.total_s)
    return read.evaluated_tokens / read.total_s if read.total_s else 0.0
