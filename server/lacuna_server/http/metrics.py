"""What happens here in numbers, in the format of Prometheus. No text of any request."""

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
    """One server's numbers."""

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "lacuna_requests", "Requests that were answered.", ["path", "status"], registry=self.registry
        )
        self.seconds = self._histogram("lacuna_request_seconds", "From a request to the end of its answer.", ["path"])
        self._first = self._histogram("lacuna_first_token_seconds", "From its turn to the first token.")
        self._queued = self._histogram("lacuna_queue_seconds", "How long a request waited for its turn.")
        self._tokens = Counter("lacuna_tokens", "Tokens, by what was done with them.", ["kind"], registry=self.registry)
        self._passes = Counter("lacuna_forward_passes", "Steps of the model.", registry=self.registry)
        self.inside = Gauge("lacuna_requests_inside", "Requests that wait or run.", registry=self.registry)
        ready = Gauge("lacuna_ready", "Whether the model is loaded.", registry=self.registry)
        ready.set_function(lambda: float(engine.state.phase in (Phase.WARM, Phase.ASLEEP)))
        memory = Gauge("lacuna_gpu_memory_bytes", "Memory of the GPU that tensors have.", registry=self.registry)
        memory.set_function(_gpu_memory)

    def count(self, counters: RequestMetrics) -> None:
        """Adds what an answer cost."""
        for kind in ("prompt", "reused", "evaluated", "drafted", "accepted", "generated"):
            self._tokens.labels(kind).inc(max(0, getattr(counters, f"{kind}_tokens")))
        self._passes.inc(counters.forward_passes)
        self._first.observe(counters.first_token_s)
        self._queued.observe(max(0.0, counters.queued_s))

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _histogram(self, name: str, says: str, labels: list[str] | None = None) -> Histogram:
        return Histogram(name, says, labels or [], buckets=_SECONDS, registry=self.registry)


def _gpu_memory() -> float:
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    try:
        return float(cuda.memory_allocated()) if cuda is not None and cuda.is_available() else 0.0
    except AttributeError:  # the engine's thread is still importing it
        return 0.0
