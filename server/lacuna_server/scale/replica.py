"""The Ray Serve deployment. A replica is an engine with the whole model, on any node with enough resources."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import ray  # pyright: ignore[reportMissingImports]
from ray import serve  # pyright: ignore[reportMissingImports]
from ray.serve.config import RequestRouterConfig  # pyright: ignore[reportMissingImports]

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
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.errors import EngineUnavailable
from lacuna_inference.models.loader import validate

APPLICATION = "lacuna"
_ROUTER: Any = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
"""Routes a session to the same replica while that is alive. When a replica is lost, only its sessions move."""

_UPSCALE_DELAY_S = 10.0
"""Seconds of overload after which a replica is added."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The number of replicas, and the resources of each. If `max_replicas` is greater than `min_replicas`, Ray adds and
    removes replicas so that each has about `target_requests` at a time.
    """

    min_replicas: int = 1
    max_replicas: int = 1
    gpus: float = 0.0
    cpus: float = 1.0
    target_requests: float = 4.0
    resources: tuple[tuple[str, float], ...] = ()


class Replica:
    """Answers requests. A session is routed to one replica, whose prefix cache has the session's text."""

    def __init__(self, options: ModelOptions) -> None:
        self._engine = ModelEngine(options)
        loaded_or_failed = threading.Event()
        self._engine.watch(lambda state: _set_when_loaded(state, loaded_or_failed))
        self._engine.start()
        loaded_or_failed.wait()
        self.check_health()

    async def answer(self, request: Request) -> tuple[str, CompletionResult]:
        """This replica's name and the answer."""
        cancel = CancelToken()
        try:
            return self._name(), await asyncio.wrap_future(self._engine.submit(request, cancel))
        finally:
            cancel.cancel()  # no caller is left, whatever the reason

    async def stream(self, request: Request) -> AsyncIterator[StreamEvent | tuple[str, CompletionResult]]:
        """Stream events as they come, then this replica's name and the answer."""
        loop, events = asyncio.get_running_loop(), asyncio.Queue[StreamEvent | None]()
        cancel = CancelToken()
        streaming = replace(request, on_token=lambda event: _put(loop, events, event))
        future = self._engine.submit(streaming, cancel)
        future.add_done_callback(lambda _: _put(loop, events, None))
        try:
            while (event := await events.get()) is not None:
                yield event
            yield self._name(), await asyncio.wrap_future(future)
        finally:
            cancel.cancel()

    def facts(self) -> ModelFacts:
        """What the model is; the same in all replicas."""
        return self._engine.state.facts

    def check_health(self) -> None:
        """Called by Ray. Raises EngineUnavailable if the model has failed, so that Ray replaces the replica."""
        state = self._engine.state
        if state.phase is Phase.FAILED:
            raise EngineUnavailable(state.message)

    def _name(self) -> str:
        return str(serve.get_replica_context().replica_id.unique_id)


def deploy(options: ModelOptions, scale: Scale) -> Any:
    """Starts the application, or updates it replica by replica if it is running. Returns its handle.

    Raises LacunaError, before anything changes, for a model that cannot be read here. Raises RuntimeError if no replica
    starts.
    """
    validate(options)
    autoscaling = {
        "min_replicas": scale.min_replicas,
        "max_replicas": scale.max_replicas,
        "target_ongoing_requests": scale.target_requests,
        "upscale_delay_s": _UPSCALE_DELAY_S,
    }
    replicas: dict[str, Any] = (
        {"autoscaling_config": autoscaling}
        if scale.max_replicas > scale.min_replicas
        else {"num_replicas": scale.min_replicas}
    )
    deployment = serve.deployment(
        name="model",
        max_ongoing_requests=100,
        health_check_period_s=2,
        graceful_shutdown_timeout_s=10,
        request_router_config=RequestRouterConfig(request_router_class=_ROUTER),
        ray_actor_options={"num_cpus": scale.cpus, "num_gpus": scale.gpus, "resources": dict(scale.resources)},
        **replicas,
    )(Replica)
    return serve.run(deployment.bind(options), name=APPLICATION, route_prefix=None)


def nodes() -> int:
    """The number of nodes in the cluster that are alive."""
    return sum(node["Alive"] for node in ray.nodes())


def _set_when_loaded(state: EngineState, loaded_or_failed: threading.Event) -> None:
    if state.phase in (Phase.WARM, Phase.FAILED):
        loaded_or_failed.set()


def _put(loop: asyncio.AbstractEventLoop, events: asyncio.Queue[StreamEvent | None], event: StreamEvent | None) -> None:
    loop.call_soon_threadsafe(events.put_nowait, event)
