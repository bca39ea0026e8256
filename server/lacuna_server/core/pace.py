"""How long to wait before asking the model: not at all when the answer is cheap, else until a pause is likely.

The estimate follows Tabby's adaptive debounce: the mean gap between keystrokes, less the mean time of an answer.
"""

from __future__ import annotations

from collections import deque

from lacuna_server.core.snapshot import Snapshot

_MAX_GAPS, _MAX_ANSWERS = 20, 10
"""How many of the latest gaps and answers are averaged."""
_FIRST_GAP_S = 0.2
_PAUSE_S = 1.0
"""A longer gap is a pause and is not counted."""
_GAP_FACTOR = 1.5
MAX_DELAY_S = 0.15


class Pace:
    """The typing speed of one user. Times are in seconds on one clock."""

    def __init__(self) -> None:
        self._gaps: deque[float] = deque([_FIRST_GAP_S], _MAX_GAPS)
        self._answers: deque[float] = deque(maxlen=_MAX_ANSWERS)
        self._last_key: float | None = None
        self._read: dict[str, tuple[str, str]] = {}

    def on_key(self, now: float) -> None:
        """Records a request, which means that the user typed."""
        if self._last_key is not None and now - self._last_key <= _PAUSE_S:
            self._gaps.append(now - self._last_key)
        self._last_key = now

    def delay(self, snapshot: Snapshot) -> float:
        """How long to delay a request to the model.

        0 while only the cursor's line changes or lines are added above it, because the model has read the rest, and for
        a document's first request.
        """
        previous, around = self._read.get(snapshot.document_id), snapshot.lines_around()
        if previous is None or (around[1] == previous[1] and around[0].startswith(previous[0])):
            return 0.0
        answer = sum(self._answers) / len(self._answers) if self._answers else 0.0
        return min(MAX_DELAY_S, max(0.0, _GAP_FACTOR * sum(self._gaps) / len(self._gaps) - answer))

    def on_request(self, snapshot: Snapshot) -> None:
        """Records that the model reads the text around the cursor."""
        self._read[snapshot.document_id] = snapshot.lines_around()

    def on_answer(self, seconds: float) -> None:
        """Records how long an answer took."""
        self._answers.append(seconds)

    def forget(self, document_id: str) -> None:
        """Forgets a document that was closed."""
        self._read.pop(document_id, None)
