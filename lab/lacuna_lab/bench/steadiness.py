"""Responsiveness of the server: edits while a model decodes, time to cancel a request, and memory growth."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace

import psutil
from torch import Tensor

from lacuna_inference.api import CancelToken, CompletionResult, ModelOptions, Request, Stop
from lacuna_inference.cache.pool import PrefixCachePool
from lacuna_inference.engine import assemble
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.errors import RequestCancelled
from lacuna_inference.forward import Forward, KVCache, Step
from lacuna_lab.bench import editor
from lacuna_lab.bench.typing_trace import TypingTrace
from lacuna_lab.quantiles import quantile

_LONG = Stop(max_tokens=200)
_ANSWERS, _CANCELS = 100, 20
"""Answers during which edits are sent, and cancels per file. A run of fewer requests limits both to that number."""


@dataclass(frozen=True, slots=True)
class SteadinessFigures:
    """`edit_p50_s` and `edit_p99_s`: from sending an edit until the server has applied it, during decoding.

    `cancelled_s` and `passes_after_cancel` are maxima. `growth` is that of the resident memory, in bytes.
    """

    edits: int
    edit_p50_s: float
    edit_p99_s: float
    cancels: int
    cancelled_s: float
    passes_after_cancel: int
    requests: int
    growth: int


def measure(
    options: ModelOptions, environment: dict[str, str], sessions: Sequence[TypingTrace], requests: int
) -> SteadinessFigures:
    """Measures edits, cancels and memory growth, one after the other."""
    edits = list(asyncio.run(editor.edit_delays(sessions[0], environment, min(_ANSWERS, requests))))
    loaded = assemble.load_model(options, lambda *_: None)
    assert loaded.forward is not None
    forward = _RecordingForward(loaded.forward)
    decoder = replace(loaded.decoder, caches=PrefixCachePool(forward))
    engine = ModelEngine(options, lambda _: replace(loaded, decoder=decoder))
    try:
        _wait(engine.submit(Request(("x = ",))))  # waits until the engine is warm
        cancels = [_cancelled(engine, forward, session) for session in sessions for _ in range(min(_CANCELS, requests))]
        growth = _growth(engine, sessions, requests)
    finally:
        engine.close()
    return SteadinessFigures(
        edits=len(edits),
        edit_p50_s=quantile(edits, 0.5),
        edit_p99_s=quantile(edits, 0.99),
        cancels=len(cancels),
        cancelled_s=max(seconds for seconds, _ in cancels),
        passes_after_cancel=max(passes for _, passes in cancels),
        requests=requests,
        growth=growth,
    )


def table(figures: SteadinessFigures) -> Iterator[str]:
    """The figures as a Markdown table, line by line."""
    yield "| what | figure |"
    yield "| --- | --- |"
    yield f"| edit applied during decoding, p50 ({figures.edits} edits) | {1000 * figures.edit_p50_s:.1f} ms |"
    yield f"| edit applied during decoding, p99 | {1000 * figures.edit_p99_s:.1f} ms |"
    yield f"| cancel to idle, longest ({figures.cancels} cancels) | {1000 * figures.cancelled_s:.1f} ms |"
    yield f"| forward passes started after a cancel, maximum | {figures.passes_after_cancel} |"
    yield f"| resident memory after {figures.requests} requests | {figures.growth / 2**20:+.1f} MiB |"


@dataclass(slots=True)
class _RecordingForward:
    """A forward that records when each pass started."""

    forward: Forward
    pass_started: list[float] = field(default_factory=list)

    @property
    def max_draft_tokens(self) -> int:
        return self.forward.max_draft_tokens

    def new_kv_cache(self) -> KVCache:
        kv_cache: KVCache = self.forward.new_kv_cache()
        return kv_cache

    def step_batch(self, steps: Sequence[Step]) -> None:
        """Not supported: each step is recorded separately."""

    def step(self, ids: Sequence[int], kv_cache: KVCache, n_logits: int = 1) -> Tensor:
        self.pass_started.append(time.perf_counter())
        return self.forward.step(ids, kv_cache, n_logits)


def _cancelled(engine: ModelEngine, forward: _RecordingForward, session: TypingTrace) -> tuple[float, int]:
    """Seconds from a cancel to the end of the request, and the passes that started in between."""
    cursor = random.Random(len(forward.pass_started)).randrange(len(session.text))
    before, cancel = len(forward.pass_started), CancelToken()
    future = engine.submit(Request((session.text[:cursor], session.text[cursor:]), session.name, _LONG), cancel)
    while len(forward.pass_started) == before and not future.done():
        time.sleep(0)
    cancel.cancel()
    started = time.perf_counter()
    _wait(future)
    return time.perf_counter() - started, sum(pass_s > started for pass_s in forward.pass_started)


def _growth(engine: ModelEngine, sessions: Sequence[TypingTrace], requests: int) -> int:
    """Bytes by which the resident memory grows over `requests` requests, one for each keystroke.

    All sessions are typed once before, so that every document has its prefix cache and all caches are filled.
    """
    keys = [(session, key) for session in sessions for key in session.keys]
    before = 0
    for number in range(len(keys) + requests):
        if number == len(keys):
            gc.collect()
            before = psutil.Process().memory_info().rss
        session, key = keys[number % len(keys)]
        parts = (key.text[: key.cursor], key.text[key.cursor :])
        _wait(engine.submit(Request(parts, session.name, Stop(16, single_line=True), document_id=session.name)))
    gc.collect()
    return int(psutil.Process().memory_info().rss - before)


def _wait(future: Future[CompletionResult]) -> None:
    with suppress(RequestCancelled):
        future.result()
