"""A small model that answers where it is sure, while a larger one is still at work or loading."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from lacuna_inference.api import Engine
from lacuna_server.core.admission import Rules, refusal
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.service import Policy, Suggestions, complete
from lacuna_server.core.snapshot import Snapshot

EAGERNESS = 0.4
"""The largest eagerness with which the quick model answers: it takes the place of a better one."""
_NO_MODEL = frozenset({Withheld.LOADING, Withheld.UNAVAILABLE})


class QuickModel:
    """The small model, what it showed, and the larger one's answers that are still computed after that."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shown: dict[str, tuple[Snapshot, Suggestions]] = {}
        """By document, the last answer that took the place of the larger model's."""
        self._later: set[asyncio.Task[Suggestions]] = set()

    def shown(self, snapshot: Snapshot) -> Suggestions | None:
        """What this model showed at this cursor in this text. It stays: nothing that is visible changes by itself."""
        at, answer = self._shown.get(snapshot.document_id, (None, None))
        return answer if at is not None and (at.text, at.offset) == (snapshot.text, snapshot.offset) else None

    def forget_answers(self) -> None:
        """Forgets what was shown."""
        self._shown.clear()

    def forget(self, document_id: str) -> None:
        """Forgets what was shown in a document."""
        self._shown.pop(document_id, None)

    async def sooner(
        self, computing: Coroutine[Any, Any, Suggestions], snapshot: Snapshot, rules: Rules, policy: Policy
    ) -> Suggestions:
        """The larger model's answer, which `computing` gives, or this model's own if that is there sooner and is sure.

        The larger model then goes on, for the next request. An answer without the gate's verdict is not sure.
        Cancelling the task cancels both.
        """
        larger = asyncio.ensure_future(computing)
        quick = asyncio.ensure_future(self._complete(snapshot, rules, policy))
        try:
            await asyncio.wait((larger, quick), return_when=asyncio.FIRST_COMPLETED)
            if larger.done() and larger.result().withheld not in _NO_MODEL:
                return larger.result()
            answer = await quick
            if answer.verdict is None or not answer.texts:
                return await larger
        except asyncio.CancelledError:
            larger.cancel()
            raise
        finally:
            quick.cancel()
        self._later.add(larger)
        larger.add_done_callback(self._later.discard)
        self._shown[snapshot.document_id] = snapshot, answer
        return answer

    async def _complete(self, snapshot: Snapshot, rules: Rules, policy: Policy) -> Suggestions:
        """This model's answer. The other rules were asked for the larger one."""
        languages = self._engine.state.facts.languages
        own = replace(rules, in_comments=True, in_strings=True, model_languages=languages)
        if (refused := refusal(snapshot, own, invoked=False)) is not None:
            return Suggestions(withheld=refused)
        eagerness = min(policy.eagerness, EAGERNESS)
        return await complete(self._engine, snapshot, replace(policy, eagerness=eagerness, look_ahead=False))
