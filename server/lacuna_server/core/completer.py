"""One client's completions: answers are cached, equal requests share a computation, and the newest request wins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace

from lacuna_inference.api import CancelToken, Engine, Request, RequestMetrics, Stop, StopReason
from lacuna_server.core.admission import Rules, refusal
from lacuna_server.core.answer_cache import AnswerCache
from lacuna_server.core.pace import Pace
from lacuna_server.core.quick import QuickModel
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.service import Policy, Suggestions, complete, context_files_with_lf
from lacuna_server.core.snapshot import Snapshot, with_lf

_TRANSIENT = frozenset({Withheld.LOADING, Withheld.UNAVAILABLE, Withheld.CANCELLED, Withheld.LOOP})
"""Reasons that may not apply to the next request. Such answers are not cached."""
RequestKey = tuple[str, str, int, bool]


@dataclass(slots=True)
class _Pending:
    answer: asyncio.Task[Suggestions]
    waiting: int = 0
    delivered: bool = False
    """Whether a caller has received the answer."""


class Completer:
    """Answers the requests of one client with one engine, perhaps helped by a quick model. On the event loop only.

    A request that continues a running one does not wait for it: the engine keeps what the other has read and written,
    and continues from there.
    """

    def __init__(
        self, engine: Engine, clock: Callable[[], float] = time.monotonic, quick: QuickModel | None = None
    ) -> None:
        self._engine = engine
        self._quick = quick
        self._clock = clock
        self._cache = AnswerCache()
        self._pace = Pace()
        self._running: dict[RequestKey, _Pending] = {}
        self._newest: dict[str, RequestKey] = {}
        self._read_ahead: dict[str, CancelToken] = {}

    async def complete(self, snapshot: Snapshot, rules: Rules, policy: Policy, invoked: bool = False) -> Suggestions:
        """What to show at the cursor, or why nothing is shown.

        Cancelling the task leaves the answer to others that wait for it. An invoked request never uses the cache.
        """
        refused = await _refusal(snapshot, rules, invoked)
        if refused is not None:
            return Suggestions(withheld=refused)
        self._pace.on_key(self._clock())
        if not invoked and (cached := self._known(snapshot)) is not None:
            return replace(cached, metrics=RequestMetrics(), cached=True, delay_s=0.0)
        key = snapshot.document_id, snapshot.text, snapshot.offset, invoked
        self._newest[snapshot.document_id] = key
        return await self._shared(key, lambda: self._compute(key, snapshot, rules, policy, invoked))

    def read_ahead(self, snapshot: Snapshot, rules: Rules, policy: Policy) -> None:
        """Has the engine read a document that was opened, while nobody asks."""
        self._have_read(snapshot, (snapshot.text,), rules, policy, beside=False)

    async def read_next(self, snapshot: Snapshot, rules: Rules, policy: Policy, beside: bool) -> bool:
        """Has the engine read a prompt around the cursor while nobody asks, perhaps `beside` the one that is shown.

        Returns whether nothing is left to read, or it was given up.
        """
        reading = self._have_read(snapshot, (snapshot.prefix, snapshot.suffix), rules, policy, beside)
        return reading is None or await asyncio.wrap_future(reading)

    def _have_read(
        self, snapshot: Snapshot, texts: tuple[str, ...], rules: Rules, policy: Policy, beside: bool
    ) -> Future[bool] | None:
        """None if the document is not completed, or the user does not want the engine to look ahead."""
        anywhere = replace(rules, in_comments=True, in_strings=True)
        if not policy.look_ahead or refusal(snapshot, anywhere, invoked=False) is not None:
            return None
        cancel = self._read_ahead[snapshot.document_id] = CancelToken()
        request = Request(
            parts=tuple(map(with_lf, texts)),
            path=snapshot.path,
            stop=Stop(policy.max_tokens),
            document_id=snapshot.document_id,
            context_files=context_files_with_lf(snapshot),
            repository=snapshot.repository or None,
            keeps_files=snapshot.keeps_files,
        )
        return self._engine.read_ahead(request, cancel, beside)

    def forget_answers(self) -> None:
        """Clears the cache: other settings give other answers."""
        self._cache.clear()
        if self._quick is not None:
            self._quick.forget_answers()

    def forget(self, document_id: str) -> None:
        """Forgets the state of the document `document_id`; it is not read ahead any more."""
        if (reading := self._read_ahead.pop(document_id, None)) is not None:
            reading.cancel()
        self._pace.forget(document_id)
        self._newest.pop(document_id, None)
        if self._quick is not None:
            self._quick.forget(document_id)

    def _known(self, snapshot: Snapshot) -> Suggestions | None:
        """What was answered here before."""
        shown = None if self._quick is None else self._quick.shown(snapshot)
        return shown or self._cache.find(snapshot)

    async def _shared(self, key: RequestKey, compute: Callable[[], Awaitable[Suggestions]]) -> Suggestions:
        """The answer of the same request if it is running, else of a new one. Cancelled when no caller is left."""
        pending = self._running.get(key)
        if pending is None:
            created = pending = self._running[key] = _Pending(asyncio.ensure_future(compute()))
            pending.answer.add_done_callback(lambda _: self._remove(key, created))
        pending.waiting += 1
        try:
            answer = await asyncio.shield(pending.answer)
        finally:
            pending.waiting -= 1
            if not pending.waiting:
                self._remove(key, pending)
                pending.answer.cancel()
        delivered, pending.delivered = pending.delivered, True
        return replace(answer, cached=delivered)

    def _remove(self, key: RequestKey, pending: _Pending) -> None:
        """Removes `pending`, so that no further request joins it."""
        if self._running.get(key) is pending:
            del self._running[key]

    async def _compute(
        self, key: RequestKey, snapshot: Snapshot, rules: Rules, policy: Policy, invoked: bool
    ) -> Suggestions:
        delay = 0.0 if invoked else self._pace.delay(snapshot)
        if delay:
            await asyncio.sleep(delay)
            if self._newest.get(snapshot.document_id) != key:
                return Suggestions(withheld=Withheld.CANCELLED)
        self._pace.on_request(snapshot)
        answer = self._of_model(snapshot, policy, invoked)
        if self._quick is not None and not invoked:
            answer = self._quick.sooner(answer, snapshot, rules, policy)
        return replace(await answer, delay_s=delay)

    async def _of_model(self, snapshot: Snapshot, policy: Policy, invoked: bool) -> Suggestions:
        started = self._clock()
        answer = await complete(self._engine, snapshot, policy, invoked)
        if answer.metrics.total_s:
            self._pace.on_answer(self._clock() - started)
        if answer.withheld not in _TRANSIENT and not _improves(answer):
            self._cache.put(snapshot, answer)
        return answer


def _improves(answer: Suggestions) -> bool:
    """Whether a later answer is longer, because the deadline cut this one short, or is based on more text."""
    return answer.stop is StopReason.DEADLINE or answer.metrics.narrow


async def _refusal(snapshot: Snapshot, rules: Rules, invoked: bool) -> Withheld | None:
    """Why nothing may be suggested, or None. Excluding comments or strings lexes the file, so that runs in a thread."""
    if invoked or (rules.in_comments and rules.in_strings):
        return refusal(snapshot, rules, invoked)
    return await asyncio.to_thread(refusal, snapshot, rules, invoked)
