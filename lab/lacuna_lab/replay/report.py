"""The figures as a Markdown table and as JSON, and what was shown, display by display."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lacuna_lab.evaluation.metrics import Interval
from lacuna_lab.evaluation.report import percent
from lacuna_lab.replay.figures import ReplayRow
from lacuna_lab.replay.session import Session

COLUMNS = (
    "language", "by", "characters", "kept", "as words / lines / blocks", "keys saved", "displays per 100 keys",
    "wrong per 100 keys", "displays right", "silent keys", "answered before the next key", "p50", "p95",
    "tokens read a key", "kept, against the first",
)  # fmt: skip
_CONTEXT = 60
"""Characters before the cursor that are written with a display."""


def markdown(rows: Sequence[ReplayRow]) -> str:
    """One table; the shares with their intervals over files."""
    lines = [f"| {' | '.join(COLUMNS)} |", "| --- " * len(COLUMNS) + "|"]
    return "\n".join(
        [*lines, *(f"| {' | '.join(_cells(row, row.contestant == rows[0].contestant))} |" for row in rows)]
    )


def as_json(rows: Sequence[ReplayRow]) -> list[dict[str, Any]]:
    """The rows as JSON-serializable data."""
    return [asdict(row) for row in rows]


def displays(sessions: Mapping[str, Sequence[Session]]) -> Iterator[str]:
    """A line of JSON for each display: where it came, what it was, what was written. It holds the user's code."""
    for name, of_name in sessions.items():
        for one in of_name:
            written = 0
            for key in one.keys:
                reference = one.task.target[written:]
                if key.is_new:
                    yield json.dumps({
                        "by": name, "file": one.task.path or one.task.name,
                        "before": (one.task.before + one.task.target[:written])[-_CONTEXT:], "shown": key.shown,
                        "written": reference[: max(len(key.shown), _CONTEXT)], "right": key.right,
                        "accepted": key.accepted, "seconds": key.answer and round(key.answer.taken_s, 3),
                    })  # fmt: skip
                written += len(key.key.text)


def _cells(row: ReplayRow, is_first: bool) -> Iterator[str]:
    yield from (row.language, row.contestant, str(row.characters), percent(row.kept))
    yield " / ".join(f"{100 * share:.1f}" for share in row.kept_by.values())
    yield from (percent(row.saved), _count(row.displays), _count(row.wrong))
    yield from map(percent, (row.precision, row.silent, row.answered))
    yield from (f"{1000 * row.p50_s:.0f} ms", f"{1000 * row.p95_s:.0f} ms")
    yield "" if row.read is None else f"{row.read:.1f}"
    yield "" if is_first else _signed(row.against_first)


def _count(interval: Interval) -> str:
    return f"{interval.mean:.1f} ({interval.low:.1f} to {interval.high:.1f})"


def _signed(interval: Interval) -> str:
    """In percentage points."""
    return f"{100 * interval.mean:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"
