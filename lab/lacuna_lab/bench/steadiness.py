"""Whether the server stays light: its event loop while a model decodes, a cancelled request, and memory over time."""

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

_LONG = Stop(max_tokens=200)
_ANSWERS, _CANCELS = 100, 20
"""Answers during which edits are sent, and cancels in each file; a run of fewer requests has no more than those."""


@dataclass(frozen=True, slots=True)
class SteadinessFigures:
    """`edit_p99_s`: from sending an edit until the server has applied it, while an answer is computed.

    `cancelled_s` and `passes_after_cancel` are the worst of all; the growth of the resident memory is in bytes.
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
    """All of it, one after the other."""
    edits = sorted(asyncio.run(editor.delays(sessions[0], environment, min(_ANSWERS, requests))))
    loaded = assemble.load_model(options, lambda *_: None)
    assert loaded.forward is not None
    watched = _Watched(loaded.forward)
    decoder = replace(loaded.decoder, caches=PrefixCachePool(watched))
    engine = ModelEngine(options, lambda _: replace(loaded, decoder=decoder))
    try:
        _outcome(engine.submit(Request(("x = ",))))  # until it is warm
        cancels = [_cancelled(engine, watched, session) for session in sessions for _ in range(min(_CANCELS, requests))]
        growth = _growth(engine, sessions, requests)
    finally:
        engine.close()
    return SteadinessFigures(
        edits=len(edits),
        edit_p50_s=edits[len(edits) // 2],
        edit_p99_s=edits[int(0.99 * (len(edits) - 1))],
        cancels=len(cancels),
        cancelled_s=max(taken for taken, _ in cancels),
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
    yield f"| forward passes that began after a cancel, most | {figures.passes_after_cancel} |"
    yield f"| resident memory after {figures.requests} requests | {figures.growth / 2**20:+.1f} MiB |"


@dataclass(slots=True)
class _Watched:
    """A forward that notes when each pass began."""

    forward: Forward
    began: list[float] = field(default_factory=list)

    @property
    def max_draft_tokens(self) -> int:
        return self.forward.max_draft_tokens

    def new_kv_cache(self) -> KVCache:
        found: KVCache = self.forward.new_kv_cache()
        return found

    def step_batch(self, steps: Sequence[Step]) -> None:
        """Not done here: each step is watched."""

    def step(self, ids: Sequence[int], kv_cache: KVCache, n_logits: int = 1) -> Tensor:
        self.began.append(time.perf_counter())
        return self.forward.step(ids, kv_cache, n_logits)


def _cancelled(engine: ModelEngine, watched: _Watched, session: TypingTrace) -> tuple[float, int]:
    """Seconds from a cancel to the request's end, and the passes that began meanwhile."""
    place = random.Random(len(watched.began)).randrange(len(session.text))
    before, cancel = len(watched.began), CancelToken()
    future = engine.submit(Request((session.text[:place], session.text[place:]), session.name, _LONG), cancel)
    while len(watched.began) == before and not future.done():
        time.sleep(0)
    cancel.cancel()
    started = time.perf_counter()
    _outcome(future)
    return time.perf_counter() - started, sum(began > started for began in watched.began)


def _growth(engine: ModelEngine, sessions: Sequence[TypingTrace], requests: int) -> int:
    """Bytes by which the resident memory grows over `requests` requests, as somebody makes them who types.

    All sessions are typed once before, so that every document has its store and the caches are filled.
    """
    keys = [(session, key) for session in sessions for key in session.keys]
    before = 0
    for number in range(len(keys) + requests):
        if number == len(keys):
            gc.collect()
            before = psutil.Process().memory_info().rss
        session, key = keys[number % len(keys)]
        parts = (key.text[: key.cursor], key.text[key.cursor :])
        _outcome(engine.submit(Request(parts, session.name, Stop(16, single_line=True), document_id=session.name)))
    gc.collect()
    return int(psutil.Process().memory_info().rss - before)


def _outcome(future: Future[CompletionResult]) -> None:
    with suppress(RequestCancelled):
        future.result()
