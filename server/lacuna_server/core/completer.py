"""One client's completions: earlier answers are found again, equal requests share one, and the newest wins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from lacuna_inference.api import Engine, RequestMetrics, StopReason
from lacuna_server.core.admission import Rules, refusal
from lacuna_server.core.answer_cache import AnswerCache
from lacuna_server.core.pace import Pace
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.service import Policy, Suggestions, complete
from lacuna_server.core.snapshot import Snapshot

_PASSING = frozenset({Withheld.LOADING, Withheld.UNAVAILABLE, Withheld.CANCELLED, Withheld.LOOP})
"""Reasons that may be gone with the next request."""
RequestKey = tuple[str, str, int, bool]


@dataclass(slots=True)
class _Pending:
    answer: asyncio.Task[Suggestions]
    waiting: int = 0
    told: bool = False
    """Whether somebody has been given the answer."""


class Completer:
    """Answers the requests of one client with one engine. On the event loop only.

    A request that goes on where a running one stands is not kept waiting for it: the engine holds what the other has
    read and written, and goes on from there.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._cache = AnswerCache()
        self._pace = Pace()
        self._running: dict[RequestKey, _Pending] = {}
        self._newest: dict[str, RequestKey] = {}

    async def complete(self, snapshot: Snapshot, rules: Rules, policy: Policy, invoked: bool = False) -> Suggestions:
        """What to show at the cursor, or why nothing is. A cancelled task leaves the answer to others who wait for it.

        An invoked request is always computed anew.
        """
        refused = await _refusal(snapshot, rules, invoked)
        if refused is not None:
            return Suggestions(withheld=refused)
        self._pace.key(self._clock())
        if not invoked and (found := self._cache.find(snapshot)) is not None:
            return replace(found, metrics=RequestMetrics(), cached=True, delay_s=0.0)
        asked = snapshot.document_id, snapshot.text, snapshot.offset, invoked
        self._newest[snapshot.document_id] = asked
        return await self._shared(asked, lambda: self._computed(asked, snapshot, policy, invoked))

    def forget_answers(self) -> None:
        """Forgets what was answered: other settings make other answers."""
        self._cache.clear()

    def forget(self, key: str) -> None:
        """Forgets what is known of the document `key`."""
        self._pace.forget(key)
        self._newest.pop(key, None)

    async def _shared(self, asked: RequestKey, compute: Callable[[], Awaitable[Suggestions]]) -> Suggestions:
        """The answer of the same request that runs already, or of a new one; cancelled when nobody waits any more."""
        running = self._running.get(asked)
        if running is None:
            made = running = self._running[asked] = _Pending(asyncio.ensure_future(compute()))
            running.answer.add_done_callback(lambda _: self._ended(asked, made))
        running.waiting += 1
        try:
            answer = await asyncio.shield(running.answer)
        finally:
            running.waiting -= 1
            if not running.waiting:
                self._ended(asked, running)
                running.answer.cancel()
        told, running.told = running.told, True
        return replace(answer, cached=told)

    def _ended(self, asked: RequestKey, running: _Pending) -> None:
        """Nobody may join `running` any more."""
        if self._running.get(asked) is running:
            del self._running[asked]

    async def _computed(self, asked: RequestKey, snapshot: Snapshot, policy: Policy, invoked: bool) -> Suggestions:
        delay = 0.0 if invoked else self._pace.delay(snapshot)
        if delay:
            await asyncio.sleep(delay)
            if self._newest.get(snapshot.document_id) != asked:
                return Suggestions(withheld=Withheld.CANCELLED)
        self._pace.asked(snapshot)
        started = self._clock()
        answer = await complete(self._engine, snapshot, policy, invoked)
        if answer.metrics.total_s:
            self._pace.answered(self._clock() - started)
        # an answer that the deadline cut is longer the next time
        if answer.withheld not in _PASSING and answer.stop is not StopReason.DEADLINE:
            self._cache.put(snapshot, answer)
        return replace(answer, delay_s=delay)


async def _refusal(snapshot: Snapshot, rules: Rules, invoked: bool) -> Withheld | None:
    """Why nothing may be suggested. Where comments or strings are left out, a thread reads the file for it."""
    if invoked or (rules.in_comments and rules.in_strings):
        return refusal(snapshot, rules, invoked)
    return await asyncio.to_thread(refusal, snapshot, rules, invoked)
