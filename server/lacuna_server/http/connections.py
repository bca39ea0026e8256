"""Limits on the connections of `lacuna serve`: how many there are, and how long each waits for its client.

uvicorn limits the pause between two requests, but neither a request that never becomes complete nor a response that is
never read. Each of those holds a file descriptor, and a process without descriptors accepts no connections.
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
_CONNECTIONS_TO_FREE = 4
"""Connections to close when the process is out of descriptors."""
MAX_HEADER_BYTES = 2**14
"""Limit for a request line and its headers together."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a connection waits for its client, in seconds.

    `request_s` is for a TLS handshake, and for a request line and headers from the first byte to the last. `idle_s` is
    for the time between two requests. The client must read `min_bytes` of a response every `stalled_s`.
    """

    request_s: float = 20.0
    idle_s: float = 65.0
    stalled_s: float = 30.0
    min_bytes: int = 2**16


class Droppable(Protocol):
    """A connection in a pool."""

    def drop(self) -> None: ...


class Pool:
    """A server's connections, `max_connections` at a time. Above the limit, the one that has waited longest is dropped.

    Only connections that wait for their client (for a request, its body, or for the response to be read) are dropped.
    Requests that the server is answering are limited by the gateway's queue.
    """

    def __init__(self, max_connections: int) -> None:
        self.max_connections = max_connections
        self.closed = False
        """Whether the server is stopping. uvicorn then closes its connections, but not those it is still accepting."""
        self._waiting: dict[Droppable, None] = {}
        self._busy: set[Droppable] = set()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._busy)

    def mark_waiting(self, connection: Droppable) -> None:
        """Records that `connection`, which may be new, waits for its client."""
        self.remove(connection)
        self._waiting[connection] = None
        self._evict(self.max_connections)

    def mark_busy(self, connection: Droppable) -> None:
        """Records that the server works on a request of `connection`."""
        self.remove(connection)
        self._busy.add(connection)
        self._evict(self.max_connections)

    def remove(self, connection: Droppable) -> None:
        self._busy.discard(connection)
        self._waiting.pop(connection, None)

    def on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An event loop's exception handler. Closes some connections when the process is out of file descriptors."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _NO_DESCRIPTORS and "socket" in context:
            logger.warning("A connection could not be accepted: %s.", error.strerror)
            self._evict(len(self) - _CONNECTIONS_TO_FREE)
        else:
            loop.default_exception_handler(context)

    def _evict(self, target: int) -> None:
        """Drops waiting connections, oldest first, until at most `target` connections are left."""
        while len(self) > target and self._waiting:
            logger.warning("Too many connections are open. Closing those that have been idle for longest.")
            oldest = next(iter(self._waiting))
            self.remove(oldest)
            oldest.drop()


class _Phase(Enum):
    REQUEST = auto()
    """The client has to send a request line and headers."""
    BODY = auto()
    """The client has to send a body. The guard sets its time limit, because it can answer in the dialect's format."""
    ANSWER = auto()
    """The server works on the response."""
    READING = auto()
    """The client has to read the response."""
    IDLE = auto()


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with a pool and timeouts. A subclass sets both, because uvicorn creates instances."""

    pool: ClassVar[Pool]
    timeouts: ClassVar[Timeouts]
    _phase: _Phase | None = None
    _timer: asyncio.TimerHandle | None = None
    _unread = sys.maxsize

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._update_phase()
        if self.pool.closed:
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.pool.remove(self)
        self._stop_timer()

    def data_received(self, data: bytes) -> None:
        """Feeds h11 small chunks. h11 checks its size limit only while a message is incomplete."""
        for start in range(0, len(data), MAX_HEADER_BYTES):
            if not self.transport.is_closing():
                super().data_received(data[start : start + MAX_HEADER_BYTES])

    def handle_events(self) -> None:
        super().handle_events()
        self._update_phase()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._update_phase()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._update_phase()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._update_phase()

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn while it handles an error of h11, which holds the status for what is too long."""
        status = HTTPStatus(getattr(sys.exc_info()[1], "error_status_hint", HTTPStatus.BAD_REQUEST))
        if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE and b"\n" not in self.conn.trailing_data[0]:
            status = HTTPStatus.REQUEST_URI_TOO_LONG
        self._refuse(status)

    def _unsupported_upgrade_warning(self) -> None:
        """Logs nothing: a client may offer an upgrade with any request, and ignoring it is no error."""

    def drop(self) -> None:
        self._stop_timer()
        self.transport.abort()

    def _update_phase(self) -> None:
        """Records what the connection waits for, and starts the timer for it."""
        if self._phase is (phase := self._current_phase()):
            return
        self._phase = phase
        self._stop_timer()
        if phase is _Phase.ANSWER:
            self.pool.mark_busy(self)
            return
        seconds = {
            _Phase.REQUEST: self.timeouts.request_s,
            _Phase.IDLE: self.timeouts.idle_s,
            _Phase.READING: self.timeouts.stalled_s,
        }
        if phase in seconds:
            self._start_timer(seconds[phase])
        self.pool.mark_waiting(self)

    def _current_phase(self) -> _Phase:
        if self.flow.write_paused:
            return _Phase.READING
        if self.cycle is not None and not self.cycle.response_complete:
            return _Phase.BODY if self.cycle.more_body else _Phase.ANSWER
        is_new = self.cycle is None
        request_started = self.conn.their_state is not h11.IDLE or self.conn.trailing_data[0]
        return _Phase.REQUEST if is_new or request_started else _Phase.IDLE

    def _on_timeout(self) -> None:
        """Ends the connection, unless the client is still reading a response."""
        unread = self.transport.get_write_buffer_size()
        if unread > self._unread - self.timeouts.min_bytes:
            self.drop()
            return
        if not unread:
            self._time_out()
        self._unread = unread
        self._start_timer(self.timeouts.stalled_s)

    def _time_out(self) -> None:
        if self._phase is _Phase.REQUEST and self.conn.trailing_data[0]:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus) -> None:
        """Sends an error response if one can still be sent, and closes the connection."""
        if self.cycle is not None:  # discards the application's response
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [("content-type", "text/plain; charset=utf-8"), ("connection", "close")]
            response = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
            for event in (response, h11.Data(data=f"{status.phrase}.".encode()), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _start_timer(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._on_timeout)

    def _stop_timer(self) -> None:
        self._unread = sys.maxsize
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
