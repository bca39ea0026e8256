"""A log that somebody from outside cannot fill: what is said again and again is said once a minute."""

from __future__ import annotations

import logging
import time
from types import TracebackType

_MAX_KINDS = 200


class Sparingly(logging.Filter):
    """Lets a kind of record through once in `seconds`; the next one tells how many were left out."""

    def __init__(self, seconds: float = 60.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now = _kind(record), time.monotonic()
        last, left_out = self._kinds.get(kind, (-self._seconds, 0))
        if now - last < self._seconds:
            self._kinds[kind] = (last, left_out + 1)
            return False
        if len(self._kinds) >= _MAX_KINDS:
            self._kinds.clear()
        self._kinds[kind] = (now, 0)
        if left_out:
            record.msg = f"{record.msg} ({left_out} more like this were left out)"
        return True


def limit() -> None:
    """Makes the loggers that callers can make speak do so sparingly, in the whole process."""
    sparingly = Sparingly()
    for name in ("asyncio", "uvicorn.error", "lacuna_server.http.connections"):
        logging.getLogger(name).addFilter(sparingly)


def _kind(record: logging.LogRecord) -> tuple[str, str]:
    """The message before its arguments, as far as its first line, and where its exception comes from."""
    error = record.exc_info[1] if record.exc_info else None
    origin = f"{type(error).__name__} {_last_line(error.__traceback__)}" if error is not None else ""
    return str(record.msg).partition("\n")[0], origin


def _last_line(traceback: TracebackType | None) -> str:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return "" if traceback is None else f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
