"""How long to wait before the model is asked: not at all when the answer is cheap, else until a pause is likely.

The estimate follows Tabby's adaptive debounce: the mean gap between keys, less what an answer takes anyway.
"""

from __future__ import annotations

from collections import deque

from lacuna_server.core.snapshot import Snapshot

_KEYS, _ANSWERS = 20, 10
_FIRST_GAP_S = 0.2
_PAUSE_S = 1.0
"""A longer gap is a pause and says nothing of how fast somebody types."""
_GAPS = 1.5
MAX_DELAY_S = 0.15


class Pace:
    """Watches the keys of one typist. Times are in seconds on one clock."""

    def __init__(self) -> None:
        self._gaps: deque[float] = deque([_FIRST_GAP_S], _KEYS)
        self._answers: deque[float] = deque(maxlen=_ANSWERS)
        self._last_key: float | None = None
        self._read: dict[str, tuple[str, str]] = {}

    def key(self, now: float) -> None:
        """Notes that a request came: somebody typed."""
        if self._last_key is not None and now - self._last_key <= _PAUSE_S:
            self._gaps.append(now - self._last_key)
        self._last_key = now

    def delay(self, snapshot: Snapshot) -> float:
        """How long a request for the model should wait.

        Not at all while only the cursor's line changes, or lines are added above it, because the model has read the
        rest; nor in a document's first request.
        """
        before, around = self._read.get(snapshot.document_id), snapshot.lines_around()
        if before is None or (around[1] == before[1] and around[0].startswith(before[0])):
            return 0.0
        answer = sum(self._answers) / len(self._answers) if self._answers else 0.0
        return min(MAX_DELAY_S, max(0.0, _GAPS * sum(self._gaps) / len(self._gaps) - answer))

    def asked(self, snapshot: Snapshot) -> None:
        """Notes that the model reads the text around the cursor now."""
        self._read[snapshot.document_id] = snapshot.lines_around()

    def answered(self, taken: float) -> None:
        """Notes how long an answer took."""
        self._answers.append(taken)

    def forget(self, key: str) -> None:
        """Forgets a document that was closed."""
        self._read.pop(key, None)
