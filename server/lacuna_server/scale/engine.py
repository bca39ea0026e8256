"""The `Engine` whose model runs in replicas of a Ray cluster. What a lost node was asked is asked again elsewhere."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import ray  # pyright: ignore[reportMissingImports]
from ray import serve  # pyright: ignore[reportMissingImports]
from ray.exceptions import RayError, RayTaskError  # pyright: ignore[reportMissingImports]

from lacuna_inference.api import CancelToken, CompletionResult, EngineState, ModelOptions, Phase, Request, StreamEvent
from lacuna_inference.engine.listeners import Listener, Listeners
from lacuna_inference.errors import EngineUnavailable, LacunaError, RequestCancelled
from lacuna_server.scale.replica import APPLICATION, Scale, deploy, nodes

logger = logging.getLogger(__name__)
_WAITING = 128
"""Requests that may wait for answers at a time."""
_LOOK_S = 0.02
"""Seconds between two looks whether who asked still wants it."""
_ATTEMPTS = 4
"""How often a request is asked whose replica is lost, before that is an error."""
_REMEMBERED = 4096


class RayEngine:
    """See `api.Engine` for what its methods promise. `moved` counts sessions that another replica has taken over."""

    def __init__(self, options: ModelOptions, scale: Scale, address: str | None = None) -> None:
        """Joins the cluster at `address`; None starts one of this machine alone. To be called by the main thread before
        it sets handlers of signals, because Ray sets its own. Raises EngineUnavailable when there is no cluster."""
        self._options, self._scale, self._address = options, scale, address
        self._state = EngineState(Phase.UNLOADED, model=options.model)
        self._listeners = Listeners()
        self._changed = threading.RLock()
        self._handle: Any = None
        self._asking = ThreadPoolExecutor(_WAITING, thread_name_prefix="lacuna-ray")
        self._deploying: Future[None] | None = None
        self._places: OrderedDict[str, str] = OrderedDict()
        self.moved = 0
        _join(address)

    @property
    def state(self) -> EngineState:
        return self._state

    def start(self) -> None:
        with self._changed:
            if self._deploying is None:
                self._enter(Phase.LOADING, "the replicas start")
                self._deploying = self._asking.submit(self._deploy)

    def submit(self, request: Request, cancel: CancelToken | None = None) -> Future[CompletionResult]:
        self.start()
        try:
            return self._asking.submit(self._answer, request, cancel or CancelToken())
        except RuntimeError:
            refused: Future[CompletionResult] = Future()
            refused.set_exception(EngineUnavailable("The engine was closed."))
            return refused

    def watch(self, listener: Listener) -> None:
        with self._changed:
            self._listeners.add(listener, self._state)

    def close(self, timeout: float = 2.0) -> bool:
        """The application goes on in a cluster that others started; one of our own ends."""
        self._asking.shutdown(wait=False, cancel_futures=True)
        if self._address is None and ray.is_initialized():
            serve.shutdown()
            ray.shutdown()
        return True

    def change(self, options: ModelOptions) -> None:
        """Another model, replica by replica: requests go on being answered. Raises EngineUnavailable when it fails; the
        old model's replicas then go on, and those that were stopped already are started again."""
        old, self._options = self._options, options
        self._deploy()
        if self._state.phase is Phase.FAILED:
            message, self._options = self._state.message, old
            self._deploy()
            raise EngineUnavailable(message)

    def _deploy(self) -> None:
        try:
            self._handle = deploy(self._options, self._scale)
            least, most = self._scale.least, self._scale.most
            count = f"{least} to {most} replicas" if most > least else "1 replica" if most == 1 else f"{most} replicas"
            self._enter(Phase.WARM, f"{self._options.model} in {count}, in a cluster of {nodes()}")
        except LacunaError as error:
            self._enter(Phase.FAILED, str(error))
        except Exception as error:  # Ray and its parts fail in many ways
            first = str(error).strip().split("\n")[0]
            self._enter(Phase.FAILED, f"The Ray application {APPLICATION} does not start: {first}")

    def _answer(self, request: Request, cancel: CancelToken) -> CompletionResult:
        assert self._deploying is not None
        self._deploying.result()
        if self._handle is None:
            raise EngineUnavailable(self._state.message, "Look into Ray's log.")
        for attempt in range(_ATTEMPTS):
            heard: list[StreamEvent] = []
            try:
                place, completions = self._asked(request, cancel, heard)
            except RayTaskError as error:
                raise _ours(error) from None
            except RayError as error:
                if heard:  # another replica would begin again
                    raise EngineUnavailable("A replica was lost while it answered.", "Ask again.") from error
                logger.warning("A replica was lost (%s); asking another.", type(error).__name__)
                if attempt == _ATTEMPTS - 1 or cancel.cancelled:
                    raise EngineUnavailable("The replicas of the model are lost.", "Look into Ray's log.") from error
            else:
                self._remember(request, place)
                return completions
        raise AssertionError

    def _asked(self, request: Request, cancel: CancelToken, heard: list[StreamEvent]) -> tuple[str, CompletionResult]:
        """Where it was answered, and the answer; adds what of it was told to `heard`."""
        handle = self._handle.options(session_id=_session(request))
        if request.on_token is not None:
            return _streamed(handle, request, cancel, heard)
        response = handle.answer.remote(request)
        while True:
            if cancel.cancelled:
                response.cancel()
                raise RequestCancelled
            try:
                found: tuple[str, CompletionResult] = response.result(timeout_s=_LOOK_S)
            except TimeoutError:
                continue
            return found

    def _remember(self, request: Request, place: str) -> None:
        """Notes where a session was answered."""
        if not (key := _session(request)):
            return
        with self._changed:
            self.moved += self._places.get(key, place) != place
            self._places[key] = place
            self._places.move_to_end(key)
            if len(self._places) > _REMEMBERED:
                self._places.popitem(last=False)

    def _enter(self, phase: Phase, message: str) -> None:
        with self._changed:
            self._state = EngineState(phase, 1.0 if phase is Phase.WARM else 0.0, message, self._options.model)
            self._listeners.notify(self._state)


def _join(address: str | None) -> None:
    if ray.is_initialized():
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is sent off the machine by itself
    own: dict[str, Any] = {"include_dashboard": False} if address is None else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, **own)
    except (OSError, ValueError, RuntimeError) as error:
        first = str(error).strip().split("\n")[0]
        raise EngineUnavailable(f"There is no Ray cluster to join: {first}", "Start one: ray start --head.") from None


def _session(request: Request) -> str:
    """Who types: all of a caller's documents, or one document, stay with one replica."""
    return request.caller or request.document_id or ""


def _streamed(
    handle: Any, request: Request, cancel: CancelToken, heard: list[StreamEvent]
) -> tuple[str, CompletionResult]:
    tell = request.on_token
    assert tell is not None
    response = handle.options(stream=True).stream.remote(replace(request, on_token=None))
    for thing in response:
        if cancel.cancelled:
            response.cancel()
            raise RequestCancelled
        if not isinstance(thing, StreamEvent):
            found: tuple[str, CompletionResult] = thing
            return found
        heard.append(thing)
        tell(thing)
    raise EngineUnavailable("The answer ended early.", "Ask again.")


def _ours(error: RayTaskError) -> LacunaError:
    """The failure that a replica raised, as it was there."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, LacunaError) else EngineUnavailable(f"A replica failed: {type(cause).__name__}.")
