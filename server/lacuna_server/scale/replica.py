"""The Ray Serve deployment: a replica is an engine with the whole model, on whichever node has room for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import ray  # pyright: ignore[reportMissingImports]
from ray import serve  # pyright: ignore[reportMissingImports]
from ray.serve.config import RequestRouterConfig  # pyright: ignore[reportMissingImports]

from lacuna_inference.api import CancelToken, CompletionResult, EngineState, ModelOptions, Phase, Request, StreamEvent
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.errors import EngineUnavailable
from lacuna_inference.models.loader import validate

APPLICATION = "lacuna"
_ROUTER: Any = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
"""Sends a session to the same replica as long as that lives. When it is lost, only its own sessions find others."""

_BUSY_S = 10.0
"""Seconds of too many requests after which a replica is added."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How many replicas, and what each needs of a node. With `most` over `least` Ray adds and removes them so that each
    has about `busy` requests at a time."""

    least: int = 1
    most: int = 1
    gpus: float = 0.0
    cpus: float = 1.0
    busy: float = 4.0
    resources: tuple[tuple[str, float], ...] = ()


class Replica:
    """Answers requests. Those of a session come to the same replica, which has the session's text in its cache."""

    def __init__(self, options: ModelOptions) -> None:
        self._engine = ModelEngine(options)
        settled = threading.Event()
        self._engine.watch(lambda state: _settle(state, settled))
        self._engine.start()
        settled.wait()
        self.check_health()

    async def answer(self, request: Request) -> tuple[str, CompletionResult]:
        """Where it was answered, and the answer."""
        cancel = CancelToken()
        try:
            return self._name(), await asyncio.wrap_future(self._engine.submit(request, cancel))
        finally:
            cancel.cancel()  # nobody waits any more, whatever the reason

    async def stream(self, request: Request) -> AsyncIterator[StreamEvent | tuple[str, CompletionResult]]:
        """The pieces as they become certain, then where it was answered, and the answer."""
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue[StreamEvent | None]()
        cancel = CancelToken()
        told = replace(request, on_token=lambda piece: _put(loop, pieces, piece))
        future = self._engine.submit(told, cancel)
        future.add_done_callback(lambda _: _put(loop, pieces, None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            yield self._name(), await asyncio.wrap_future(future)
        finally:
            cancel.cancel()

    def check_health(self) -> None:
        """Ray replaces a replica whose model has failed."""
        state = self._engine.state
        if state.phase is Phase.FAILED:
            raise EngineUnavailable(state.message)

    def _name(self) -> str:
        return str(serve.get_replica_context().replica_id.unique_id)


def deploy(options: ModelOptions, scale: Scale) -> Any:
    """Starts the application, or changes it replica by replica when it runs already; its handle.

    A model that cannot be read here is refused before anything changes, by a LacunaError. Raises RuntimeError when no
    replica comes up.
    """
    validate(options)
    several = {
        "min_replicas": scale.least,
        "max_replicas": scale.most,
        "target_ongoing_requests": scale.busy,
        "upscale_delay_s": _BUSY_S,
    }
    amount: dict[str, Any] = (
        {"autoscaling_config": several} if scale.most > scale.least else {"num_replicas": scale.least}
    )
    deployment = serve.deployment(
        name="model",
        max_ongoing_requests=100,
        health_check_period_s=2,
        graceful_shutdown_timeout_s=10,
        request_router_config=RequestRouterConfig(request_router_class=_ROUTER),
        ray_actor_options={"num_cpus": scale.cpus, "num_gpus": scale.gpus, "resources": dict(scale.resources)},
        **amount,
    )(Replica)
    return serve.run(deployment.bind(options), name=APPLICATION, route_prefix=None)


def nodes() -> int:
    """Machines of the cluster that are alive."""
    return sum(node["Alive"] for node in ray.nodes())


def _settle(state: EngineState, settled: threading.Event) -> None:
    if state.phase in (Phase.WARM, Phase.FAILED):
        settled.set()


def _put(loop: asyncio.AbstractEventLoop, pieces: asyncio.Queue[StreamEvent | None], piece: StreamEvent | None) -> None:
    loop.call_soon_threadsafe(pieces.put_nowait, piece)
