"""One model in one background thread: loads, warms up, and answers requests one after the other.

Imports no torch: the thread does, so that a server can start the engine before it has answered `initialize`.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lacuna_inference.api import (
    CancelToken,
    Completions,
    EngineState,
    ModelOptions,
    Phase,
    Request,
    Stop,
)
from lacuna_inference.errors import EngineUnavailable, LacunaError, NotEnoughMemory, RequestCancelled

if TYPE_CHECKING:
    from lacuna_inference.models.loader import LoadedModel

logger = logging.getLogger(__name__)

Listener = Callable[[EngineState], None]
Progress = Callable[[float, str], None]
Load = Callable[[Progress], "LoadedModel"]

_WARM_UP = Request(("def add(a, b):\n    return ", "\n"), path="warm_up.py", stop=Stop(max_tokens=4))


@dataclass(slots=True)
class _Job:
    request: Request
    cancel: CancelToken
    future: Future[Completions] = field(default_factory=Future)
    queued: float = field(default_factory=time.perf_counter)


class ModelEngine:
    """The `Engine` that runs a real model. See `api.Engine` for what its methods promise."""

    def __init__(self, options: ModelOptions, load: Load | None = None) -> None:
        self._name = options.model
        self._load = load or _loader(options)
        self._state = EngineState(Phase.UNLOADED, model=options.model)
        self._listeners: list[Listener] = []
        self._jobs: deque[_Job] = deque()
        self._running: _Job | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="lacuna-engine", daemon=True)

    @property
    def state(self) -> EngineState:
        return self._state

    def start(self) -> None:
        with self._changed:
            if self._state.phase is Phase.UNLOADED and not self._closed:
                self._enter(EngineState(Phase.LOADING, model=self._name))
                self._thread.start()

    def submit(self, request: Request, cancel: CancelToken | None = None) -> Future[Completions]:
        job = _Job(request, cancel or CancelToken())
        with self._changed:
            if (refusal := self._refusal()) is not None:
                job.future.set_exception(refusal)
                return job.future
            if request.key is not None:
                self._replace_older(request.key)
            self._jobs.append(job)
            self._changed.notify()
        self.start()
        return job.future

    def watch(self, listener: Listener) -> None:
        with self._changed:
            self._listeners.append(listener)
            listener(self._state)

    def close(self, timeout: float = 2.0) -> bool:
        with self._changed:
            self._closed = True
            if self._running:
                self._running.cancel.cancel()
            self._fail_queued(EngineUnavailable("The engine was closed."))
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _refusal(self) -> LacunaError | None:
        if self._closed:
            return EngineUnavailable("The engine was closed.")
        if self._state.phase is Phase.FAILED:
            return EngineUnavailable(f"The model is not loaded: {self._state.message}")
        return None

    def _replace_older(self, key: str) -> None:
        """The newest request of a key wins; the older ones are cancelled, also one that is being computed."""
        for job in [j for j in self._jobs if j.request.key == key]:
            self._jobs.remove(job)
            _settle(job, RequestCancelled("A newer request took this one's place."))
        if self._running and self._running.request.key == key:
            self._running.cancel.cancel()

    def _run(self) -> None:
        """The thread: load once, then serve until closed. A fault while serving is logged and serving goes on."""
        model = self._loaded()
        while model is not None and not self._closed:
            try:
                self._serve(model)
            except Exception:  # whatever it was, the next request deserves an answer
                logger.exception("The engine met an unexpected error and goes on.")
                model.decoder.stores.clear()
            except BaseException as error:  # a panic of a native library: nothing of it can be trusted any more
                logger.critical("The engine ended.", exc_info=True)
                self._fail(f"The engine ended: {type(error).__name__}. Restart it.")
                break
        del model
        _empty_device_cache()

    def _loaded(self) -> LoadedModel | None:
        try:
            model = self._load(self._on_progress)
            _answer(model, _Job(_WARM_UP, CancelToken()))
            self._enter(EngineState(Phase.WARM, 1.0, f"{model.name} on {model.device} in {model.dtype}", model.name))
        except LacunaError as error:
            self._fail(str(error))
        except BaseException as error:  # also a panic of a native library: somebody waits for the outcome
            logger.exception("The model failed to load.")
            self._fail(f"The model failed to load: {type(error).__name__}: {error}. Run: lacuna doctor")
        else:
            return model
        return None

    def _serve(self, model: LoadedModel) -> None:
        while True:
            job = self._next_job()
            if job is None:
                return
            try:
                _settle(job, _answered(model, job))
            finally:
                _settle(job, EngineUnavailable("The engine met an unexpected error.", "Look into the log."))
                with self._changed:
                    self._running = None

    def _next_job(self) -> _Job | None:
        with self._changed:
            while not self._closed:
                while self._jobs:
                    job = self._jobs.popleft()
                    if job.future.set_running_or_notify_cancel():
                        self._running = job
                        return job
                self._changed.wait()
        return None

    def _on_progress(self, share: float, message: str) -> None:
        if self._closed:
            raise EngineUnavailable("The engine was closed.")
        self._enter(EngineState(Phase.LOADING, share, message, self._name))

    def _fail(self, message: str) -> None:
        with self._changed:
            self._enter(EngineState(Phase.FAILED, message=message, model=self._name))
            self._fail_queued(EngineUnavailable(f"The model is not loaded: {message}"))

    def _fail_queued(self, error: LacunaError) -> None:
        while self._jobs:
            _settle(self._jobs.popleft(), error)

    def _enter(self, state: EngineState) -> None:
        with self._changed:
            self._state = state
            for listener in self._listeners:
                listener(state)


def _loader(options: ModelOptions) -> Load:
    def load(progress: Progress) -> LoadedModel:
        progress(0.0, "starting")
        from lacuna_inference.models.sources import go_offline

        go_offline()
        from lacuna_inference.models import loader

        return loader.load(options, progress)

    return load


def _answered(model: LoadedModel, job: _Job) -> Completions | LacunaError:
    """The answer, or the failure that concerns this request only. Unexpected errors pass through."""
    try:
        return _answer(model, job)
    except LacunaError as error:
        return error
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        model.decoder.stores.clear()
        _empty_device_cache()
        return NotEnoughMemory(
            "This request ran out of memory.", "Shorten the context (--context) or choose a smaller model."
        )


def _answer(model: LoadedModel, job: _Job) -> Completions:
    from lacuna_inference.decode.answer import answer

    return answer(model.decoder, model.name, job.request, job.cancel, job.queued)


def _out_of_memory(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def _empty_device_cache() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def _settle(job: _Job, outcome: Completions | LacunaError) -> None:
    """Gives `job` its one answer; a later one is dropped."""
    with suppress(InvalidStateError):  # answered before, or cancelled by the one who waits
        if isinstance(outcome, LacunaError):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)
