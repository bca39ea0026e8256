"""Sees what the user wrote where an answer was judged, whether it was shown or not."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from lacuna_server.core.gate import Verdict
from lacuna_server.core.service import Suggestions
from lacuna_server.core.snapshot import Snapshot, with_lf
from lacuna_server.experience import Experience
from lacuna_server.lsp.documents import Documents

SEEN_AFTER_S = 30.0
_MOST_WAITING = 32
"""Answers whose outcome is awaited at a time. Each holds a text; those in between are not looked at."""
_CLOSERS = ")]}>\"'`;"
"""What editors insert behind the cursor on their own."""


@dataclass(frozen=True, slots=True)
class _Judged:
    snapshot: Snapshot
    model: str
    verdict: Verdict


class OutcomesSeen:
    """Adds to `experience` what became of answers. Used on the event loop."""

    def __init__(self, experience: Experience, documents: Documents) -> None:
        self._experience, self._documents = experience, documents
        self._waiting: deque[_Judged] = deque()

    def await_outcome(self, snapshot: Snapshot, answer: Suggestions) -> None:
        """Looks at the document in half a minute. Answers that nobody judged, and the same one again, do not count."""
        if answer.verdict is None or answer.cached or self._experience.file is None:
            return
        document = self._documents.get(snapshot.document_id)
        if len(self._waiting) >= _MOST_WAITING or document is None or document.text != snapshot.text:
            return  # the text of a notebook's cell is only a part of the snapshot's
        self._waiting.append(_Judged(snapshot, answer.model, answer.verdict))
        asyncio.get_running_loop().call_later(SEEN_AFTER_S, self._see_oldest)

    def see_all(self) -> None:
        """Looks at once at what is awaited, and saves it."""
        while self._waiting:
            self._see_oldest()
        self._experience.save()

    def _see_oldest(self) -> None:
        if not self._waiting:
            return
        judged = self._waiting.popleft()
        document = self._documents.get(judged.snapshot.document_id)
        if document is not None and document.in_sync:
            right = came_true(judged.snapshot, judged.verdict.judged, document.text)
            if right is not None:
                self._experience.add(judged.model, judged.verdict.fitted, right)
        if not self._waiting:
            self._experience.save()


def came_true(before: Snapshot, expected: str, now: str) -> bool | None:
    """Whether `expected` was written at the cursor of `before`, if the text is `now`; None if that cannot be known yet.

    It cannot where nothing was added, only a part of `expected`, or where the text above has changed.
    """
    if len(now) <= len(before.text) or not now.startswith(before.prefix):
        return None
    written, suffix = with_lf(now[before.offset :]), with_lf(before.suffix)
    if written.startswith(expected):
        return True
    same = next(n for n in range(len(expected)) if written[n : n + 1] != expected[n])
    is_part = written[same:].lstrip(_CLOSERS) == suffix.lstrip(_CLOSERS)
    return None if is_part else False
