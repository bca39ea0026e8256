"""Daily counts of suggestions shown and accepted, in a file of the user. No code, no names, nothing is sent."""

from __future__ import annotations

import json
import math
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path

from platformdirs import user_state_dir

from lacuna_inference.errors import LacunaError
from lacuna_server import private

_DAYS_KEPT = 400
_MOST = 2**53
"""No count is larger: so much every reader of JSON understands, and nobody counts."""
_REMEDY = "Move it away, and counting begins anew."


@dataclass(slots=True)
class Counts:
    """Suggestions shown, accepted (also in part), and still there 30 s later; characters accepted."""

    shown: int = 0
    accepted: int = 0
    retained: int = 0
    characters: int = 0

    def add(self, other: Counts) -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles over `count` answers, in milliseconds; None without any."""

    count: int
    p50_ms: float | None
    p95_ms: float | None


class Latencies:
    """How long the latest answers of this process took, cached ones included."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=1000)

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)

    def summary(self) -> Latency:
        ordered = sorted(self._seconds)
        if not ordered:
            return Latency(0, None, None)
        p50, p95 = (round(1000 * ordered[math.ceil(quantile * len(ordered)) - 1], 1) for quantile in (0.5, 0.95))
        return Latency(len(ordered), p50, p95)


class Statistics:
    """Today's counts, added to `file` on saving. Several servers may share the file. Without one nothing is kept."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self._today = Counts()

    def shown(self) -> None:
        self._today.shown += 1

    def accepted(self) -> None:
        self._today.accepted += 1

    def saved(self, characters: int) -> None:
        self._today.characters += characters

    def retained(self) -> None:
        self._today.retained += 1

    def save(self) -> None:
        """Adds the counts since the last call to the file. Write errors are ignored."""
        if self.file is None:
            self._today = Counts()
        if self.file is None or self._today == Counts():
            return
        with suppress(OSError, LacunaError):  # what cannot be understood is not overwritten
            days = read(self.file)
            days.setdefault(date.today().isoformat(), Counts()).add(self._today)
            _write(self.file, dict(sorted(days.items())[-_DAYS_KEPT:]))
            self._today = Counts()


def statistics_file() -> Path:
    """The path of this user's statistics."""
    return Path(user_state_dir("lacuna", appauthor=False)) / "statistics.json"


def read(file: Path) -> dict[str, Counts]:
    """The counts by day, from the oldest; empty when there is no file, or an empty one.

    Raises LacunaError for one that cannot be read, or holds anything else than days and counts.
    """
    try:
        if not file.exists():
            return {}
        if not file.is_file():
            raise LacunaError(f"{file} is no plain file.", _REMEDY)
        data = file.read_bytes()
    except OSError as error:
        raise LacunaError(f"{file} cannot be read: {error.strerror or error}.", _REMEDY) from error
    if not data.strip():
        return {}
    try:
        return dict(_day(*item) for item in sorted(json.loads(data.decode("utf-8-sig")).items()))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise LacunaError(f"{file} holds something else than counts of suggestions.", _REMEDY) from error


def _day(day: str, counts: dict[str, int]) -> tuple[str, Counts]:
    """Raises ValueError, TypeError or AttributeError for what is no day with its counts."""
    if date.fromisoformat(day).isoformat() != day:
        raise ValueError(day)
    if not all(type(count) is int and 0 <= count <= _MOST for count in counts.values()):
        raise ValueError(counts)
    return day, Counts(**counts)


def _write(file: Path, days: dict[str, Counts]) -> None:
    private.write(file, json.dumps({day: asdict(counts) for day, counts in days.items()}, indent=1))
