"""Metrics in Prometheus' format. They hold no text of any request."""

from __future__ import annotations

import sys

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from lacuna_inference.api import Engine, Phase, RequestMetrics

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """One server's metrics."""

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter("lacuna_requests", "Answered requests.", ["path", "status"], registry=self.registry)
        self.seconds = self._histogram("lacuna_request_seconds", "Time from a request to its whole answer.", ["path"])
        self._first = self._histogram("lacuna_first_token_seconds", "Time from a request's start to its first token.")
        self._queued = self._histogram("lacuna_queue_seconds", "Time that a request waited in the queue.")
        self._tokens = Counter("lacuna_tokens", "Tokens by kind.", ["kind"], registry=self.registry)
        self._passes = Counter("lacuna_forward_passes", "Forward passes of the model.", registry=self.registry)
        self.in_flight = Gauge("lacuna_requests_inside", "Requests that wait or run.", registry=self.registry)
        ready = Gauge("lacuna_ready", "Whether the model is loaded.", registry=self.registry)
        ready.set_function(lambda: float(engine.state.phase in (Phase.WARM, Phase.ASLEEP)))
        memory = Gauge("lacuna_gpu_memory_bytes", "GPU memory occupied by tensors.", registry=self.registry)
        memory.set_function(_gpu_memory)

    def count(self, metrics: RequestMetrics) -> None:
        """Adds the metrics of one request."""
        for kind in ("prompt", "reused", "evaluated", "drafted", "accepted", "generated"):
            self._tokens.labels(kind).inc(max(0, getattr(metrics, f"{kind}_tokens")))
        self._passes.inc(metrics.forward_passes)
        self._first.observe(metrics.first_token_s)
        self._queued.observe(max(0.0, metrics.queued_s))

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _histogram(self, name: str, description: str, labels: list[str] | None = None) -> Histogram:
        return Histogram(name, description, labels or [], buckets=_SECONDS, registry=self.registry)


def _gpu_memory() -> float:
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    try:
        return float(cuda.memory_allocated()) if cuda is not None and cuda.is_available() else 0.0
    except AttributeError:  # the engine's thread is still importing it
        return 0.0
