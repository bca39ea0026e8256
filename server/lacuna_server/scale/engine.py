"""An `Engine` whose model runs in replicas of a Ray cluster. Requests to a lost node are sent to another replica."""

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

from lacuna_inference.api import (
    CancelToken,
    CompletionResult,
    EngineState,
    ModelFacts,
    ModelOptions,
    Phase,
    Request,
    StreamEvent,
)
from lacuna_inference.engine.listeners import Listener, Listeners
from lacuna_inference.errors import EngineUnavailable, LacunaError, RequestCancelled
from lacuna_server.scale.replica import APPLICATION, Scale, deploy, nodes

logger = logging.getLogger(__name__)
_MAX_REQUESTS = 128
"""Requests in flight at a time."""
_POLL_S = 0.02
"""Seconds between two checks for cancellation."""
_FACTS_S = 30.0
"""Seconds for a replica that runs to say what its model is."""
_ATTEMPTS = 4
"""How often a request is sent before the loss of its replica is an error."""
_MAX_SESSIONS = 4096
"""Sessions whose replica is remembered."""


class RayEngine:
    """Implements `api.Engine`. `moved` counts sessions that moved to another replica."""

    def __init__(self, options: ModelOptions, scale: Scale, address: str | None = None) -> None:
        """Joins the cluster at `address`, or starts one on this machine if it is None.

        Call it on the main thread before setting signal handlers, because Ray sets its own. Raises EngineUnavailable
        if there is no cluster.
        """
        self._options, self._scale, self._address = options, scale, address
        self._state = EngineState(Phase.UNLOADED, model=options.model)
        self._facts = ModelFacts()
        self._listeners = Listeners()
        self._changed = threading.RLock()
        self._handle: Any = None
        self._executor = ThreadPoolExecutor(_MAX_REQUESTS, thread_name_prefix="lacuna-ray")
        self._deploying: Future[None] | None = None
        self._replicas: OrderedDict[str, str] = OrderedDict()
        """The replica that answered each session last."""
        self.moved = 0
        _join(address)

    @property
    def state(self) -> EngineState:
        return self._state

    def start(self) -> None:
        with self._changed:
            if self._deploying is None:
                self._enter(Phase.LOADING, "starting the replicas")
                self._deploying = self._executor.submit(self._deploy)

    def submit(self, request: Request, cancel: CancelToken | None = None) -> Future[CompletionResult]:
        self.start()
        try:
            return self._executor.submit(self._answer, request, cancel or CancelToken())
        except RuntimeError:
            refused: Future[CompletionResult] = Future()
            refused.set_exception(EngineUnavailable("The engine was closed."))
            return refused

    def read_ahead(self, request: Request, cancel: CancelToken, beside: bool = False) -> Future[bool]:
        """Reads nothing: the cluster's time is others'."""
        nothing: Future[bool] = Future()
        nothing.set_result(True)
        return nothing

    def watch(self, listener: Listener) -> None:
        with self._changed:
            self._listeners.add(listener, self._state)

    def close(self, timeout: float = 2.0) -> bool:
        """Leaves the application running in a cluster that was joined, and shuts down one that was started here."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._address is None and ray.is_initialized():
            serve.shutdown()
            ray.shutdown()
        return True

    def change(self, options: ModelOptions) -> None:
        """Switches the model replica by replica, while requests are answered.

        Raises EngineUnavailable if that fails. The old model is then deployed again.
        """
        old, self._options = self._options, options
        self._deploy()
        if self._state.phase is Phase.FAILED:
            message, self._options = self._state.message, old
            self._deploy()
            raise EngineUnavailable(message)

    def _deploy(self) -> None:
        try:
            handle = deploy(self._options, self._scale)
            self._handle = handle
            self._facts = _facts_of(handle) or self._facts
            low, high = self._scale.min_replicas, self._scale.max_replicas
            count = f"{low} to {high} replicas" if high > low else "1 replica" if high == 1 else f"{high} replicas"
            self._enter(Phase.WARM, f"{self._options.model} in {count}, in a cluster of {nodes()}")
        except LacunaError as error:
            self._enter(Phase.FAILED, str(error))
        except Exception as error:  # Ray raises many kinds of exceptions
            first_line = str(error).strip().split("\n")[0]
            self._enter(Phase.FAILED, f"The Ray application {APPLICATION} does not start: {first_line}")

    def _answer(self, request: Request, cancel: CancelToken) -> CompletionResult:
        assert self._deploying is not None
        self._deploying.result()
        if self._handle is None:
            raise EngineUnavailable(self._state.message, "Check Ray's log.")
        for attempt in range(_ATTEMPTS):
            streamed: list[StreamEvent] = []
            try:
                replica, result = self._send(request, cancel, streamed)
            except RayTaskError as error:
                raise _original_error(error) from None
            except RayError as error:
                if streamed:  # another replica would start the answer again
                    raise EngineUnavailable("A replica was lost while it answered.", "Try again.") from error
                logger.warning("A replica was lost (%s); trying another.", type(error).__name__)
                if attempt == _ATTEMPTS - 1 or cancel.cancelled:
                    raise EngineUnavailable("The replicas of the model are lost.", "Check Ray's log.") from error
            else:
                self._remember(request, replica)
                return result
        raise AssertionError

    def _send(self, request: Request, cancel: CancelToken, streamed: list[StreamEvent]) -> tuple[str, CompletionResult]:
        """Sends `request` to a replica. Returns the replica's name and its answer; adds its events to `streamed`."""
        handle = self._handle.options(session_id=_session(request))
        if request.on_token is not None:
            return _stream(handle, request, cancel, streamed)
        response = handle.answer.remote(request)
        while True:
            if cancel.cancelled:
                response.cancel()
                raise RequestCancelled
            try:
                answer: tuple[str, CompletionResult] = response.result(timeout_s=_POLL_S)
            except TimeoutError:
                continue
            return answer

    def _remember(self, request: Request, replica: str) -> None:
        """Records the replica that answered a session."""
        if not (key := _session(request)):
            return
        with self._changed:
            self.moved += self._replicas.get(key, replica) != replica
            self._replicas[key] = replica
            self._replicas.move_to_end(key)
            if len(self._replicas) > _MAX_SESSIONS:
                self._replicas.popitem(last=False)

    def _enter(self, phase: Phase, message: str) -> None:
        with self._changed:
            self._state = EngineState(phase, float(phase is Phase.WARM), message, self._options.model, self._facts)
            self._listeners.notify(self._state)


def _join(address: str | None) -> None:
    if ray.is_initialized():
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # no telemetry
    own: dict[str, Any] = {"include_dashboard": False} if address is None else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, **own)
    except (OSError, ValueError, RuntimeError) as error:
        first_line = str(error).strip().split("\n")[0]
        raise EngineUnavailable(
            f"There is no Ray cluster to join: {first_line}", "Start one: ray start --head."
        ) from None


def _session(request: Request) -> str:
    """The key that is hashed to a replica: the caller, so that all its documents stay together, or the document."""
    return request.caller or request.document_id or ""


def _stream(
    handle: Any, request: Request, cancel: CancelToken, streamed: list[StreamEvent]
) -> tuple[str, CompletionResult]:
    on_token = request.on_token
    assert on_token is not None
    response = handle.options(stream=True).stream.remote(replace(request, on_token=None))
    for item in response:
        if cancel.cancelled:
            response.cancel()
            raise RequestCancelled
        if not isinstance(item, StreamEvent):
            answer: tuple[str, CompletionResult] = item
            return answer
        streamed.append(item)
        on_token(item)
    raise EngineUnavailable("The answer ended early.", "Try again.")


def _facts_of(handle: Any) -> ModelFacts | None:
    """What a replica says of its model; None from one that is too slow to say it, which may still answer requests."""
    try:
        facts: ModelFacts = handle.facts.remote().result(timeout_s=_FACTS_S)
    except TimeoutError:
        logger.warning("The replicas did not say within %d s what their model is.", _FACTS_S)
        return None
    return facts


def _original_error(error: RayTaskError) -> LacunaError:
    """The LacunaError that the replica raised; EngineUnavailable for any other exception."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, LacunaError) else EngineUnavailable(f"A replica failed: {type(cause).__name__}.")
