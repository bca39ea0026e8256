"""Connections of `lacuna serve` that wait for their caller do so for a limited time, and only so many of them.

uvicorn sets a time limit for the pause between two requests, and none for a request that never becomes complete or an
answer that is never read. Each of those holds a file descriptor, and a process without descriptors accepts nobody.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import sys
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, ClassVar, Protocol

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

logger = logging.getLogger(__name__)

_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_FREED = 4
MAX_HEADER_BYTES = 2**14
"""Of a request's line and headers together."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection waits for its caller, in seconds.

    `request_s` is the time for a TLS handshake, and for a request's line and headers from the first byte to the last;
    `idle_s` the time between two requests. An answer that is being sent must go on by `slowest` bytes in `stalled_s`.
    """

    request_s: float = 20.0
    idle_s: float = 65.0
    stalled_s: float = 30.0
    slowest: int = 2**16


class Droppable(Protocol):
    """What a pool holds."""

    def drop(self) -> None: ...


class Pool:
    """A server's connections, `most` at a time: for each that is too many, the one that has waited longest goes.

    Only those that wait for their caller (for a request, its body, or for the answer to be read) are dropped. What the
    server owes an answer is limited elsewhere, by the queue.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.closed = False
        """Whether the server stops. uvicorn closes the connections that it has then, not those that it is accepting."""
        self._waiting: dict[Droppable, None] = {}
        self._busy: set[Droppable] = set()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._busy)

    def waits(self, connection: Droppable) -> None:
        """`connection`, which may be new, begins to wait for its caller."""
        self.remove(connection)
        self._waiting[connection] = None
        self._shed(self.most)

    def works(self, connection: Droppable) -> None:
        """The server works for `connection`."""
        self.remove(connection)
        self._busy.add(connection)
        self._shed(self.most)

    def remove(self, connection: Droppable) -> None:
        self._busy.discard(connection)
        self._waiting.pop(connection, None)

    def on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An event loop's exception handler: frees some descriptors when the process has none left to accept with."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _NO_DESCRIPTORS and "socket" in context:
            logger.warning("A connection could not be accepted: %s.", error.strerror)
            self._shed(len(self) - _FREED)
        else:
            loop.default_exception_handler(context)

    def _shed(self, most: int) -> None:
        while len(self) > most and self._waiting:
            logger.warning("Too many connections are open. Those that have been idle for longest are closed.")
            oldest = next(iter(self._waiting))
            self.remove(oldest)
            oldest.drop()


class _Phase(Enum):
    REQUEST = auto()
    """The caller has to send a line and headers."""
    BODY = auto()
    """The caller has to send a body. The guard limits the time for it, because it can answer in the dialect's words."""
    ANSWER = auto()
    """The server works."""
    READING = auto()
    """The caller has to read the answer."""
    IDLE = auto()


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with a pool and patience, which a subclass sets (uvicorn makes the instances)."""

    pool: ClassVar[Pool]
    patience: ClassVar[Patience]
    _phase: _Phase | None = None
    _timer: asyncio.TimerHandle | None = None
    _unread = sys.maxsize

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._follow()
        if self.pool.closed:
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.pool.remove(self)
        self._stop()

    def data_received(self, data: bytes) -> None:
        """h11 limits what is incomplete: in small pieces, everything that is too long is incomplete at some time."""
        for start in range(0, len(data), MAX_HEADER_BYTES):
            if not self.transport.is_closing():
                super().data_received(data[start : start + MAX_HEADER_BYTES])

    def handle_events(self) -> None:
        super().handle_events()
        self._follow()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._follow()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._follow()

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls it while it handles h11's error, which knows when something is too long."""
        status = HTTPStatus(getattr(sys.exc_info()[1], "error_status_hint", HTTPStatus.BAD_REQUEST))
        if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE and b"\n" not in self.conn.trailing_data[0]:
            status = HTTPStatus.REQUEST_URI_TOO_LONG
        self._refuse(status)

    def _unsupported_upgrade_warning(self) -> None:
        """A caller may offer another protocol with any request. It is no fault that the server has none."""

    def drop(self) -> None:
        self._stop()
        self.transport.abort()

    def _follow(self) -> None:
        """Notes what the connection waits for, and starts the time for it."""
        if self._phase is (phase := self._current()):
            return
        self._phase = phase
        self._stop()
        if phase is _Phase.ANSWER:
            self.pool.works(self)
            return
        times = {
            _Phase.REQUEST: self.patience.request_s,
            _Phase.IDLE: self.patience.idle_s,
            _Phase.READING: self.patience.stalled_s,
        }
        if phase in times:
            self._start(times[phase])
        self.pool.waits(self)

    def _current(self) -> _Phase:
        if self.flow.write_paused:
            return _Phase.READING
        if self.cycle is not None and not self.cycle.response_complete:
            return _Phase.BODY if self.cycle.more_body else _Phase.ANSWER
        new = self.cycle is None
        begun = self.conn.their_state is not h11.IDLE or self.conn.trailing_data[0]
        return _Phase.REQUEST if new or begun else _Phase.IDLE

    def _late(self) -> None:
        """The time is over: ends the connection, unless an answer that it got is still being read."""
        unread = self.transport.get_write_buffer_size()
        if unread > self._unread - self.patience.slowest:
            self.drop()
            return
        if not unread:
            self._give_up()
        self._unread = unread
        self._start(self.patience.stalled_s)

    def _give_up(self) -> None:
        if self._phase is _Phase.REQUEST and self.conn.trailing_data[0]:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus) -> None:
        """Answers what is no request, where an answer can still be given, and closes the connection."""
        if self.cycle is not None:  # what the application answers to it is for nobody now
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [("content-type", "text/plain; charset=utf-8"), ("connection", "close")]
            response = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
            for event in (response, h11.Data(data=f"{status.phrase}.".encode()), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _start(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._late)

    def _stop(self) -> None:
        self._unread = sys.maxsize
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
