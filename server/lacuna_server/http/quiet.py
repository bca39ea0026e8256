"""Rate limits for log messages that clients can cause, so that they cannot fill the log."""

from __future__ import annotations

import logging
import time
from types import TracebackType

_MAX_KINDS = 200


class RateLimit(logging.Filter):
    """Passes a kind of record once in `seconds`. The next record of the kind says how many were dropped."""

    def __init__(self, seconds: float = 60.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now = _kind(record), time.monotonic()
        last, dropped = self._kinds.get(kind, (-self._seconds, 0))
        if now - last < self._seconds:
            self._kinds[kind] = (last, dropped + 1)
            return False
        if len(self._kinds) >= _MAX_KINDS:
            self._kinds.clear()
        self._kinds[kind] = (now, 0)
        if dropped:
            record.msg = f"{record.msg} ({dropped} similar messages dropped)"
        return True


def limit() -> None:
    """Limits the loggers that clients can trigger, in the whole process."""
    rate_limit = RateLimit()
    for name in ("asyncio", "uvicorn.error", "lacuna_server.http.connections"):
        logging.getLogger(name).addFilter(rate_limit)


def _kind(record: logging.LogRecord) -> tuple[str, str]:
    """The first line of the message, unformatted, and where its exception comes from."""
    error = record.exc_info[1] if record.exc_info else None
    origin = f"{type(error).__name__} {_last_line(error.__traceback__)}" if error is not None else ""
    return str(record.msg).partition("\n")[0], origin


def _last_line(traceback: TracebackType | None) -> str:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return "" if traceback is None else f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
