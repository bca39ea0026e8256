"""Callers who open a given number of connections and never finish a request."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence

STARTS = (b"", b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Le")


class HalfOpen:
    """Holds `count` half-open connections to a port of this machine; closed ones are reopened."""

    def __init__(self, port: int, count: int, starts: Sequence[bytes] = STARTS, most_a_second: int = 200) -> None:
        self._port, self._starts, self._most_a_second = port, starts, most_a_second
        self._selector = selectors.DefaultSelector()
        self.opened = self.closed = 0
        for _ in range(count):
            self._open()

    def __enter__(self) -> HalfOpen:
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def hold(self, seconds: float) -> None:
        """Runs for `seconds`."""
        until, may_open = time.monotonic() + seconds, int(self._most_a_second * seconds)
        while (left := until - time.monotonic()) > 0:
            for key, _ in self._selector.select(left)[:may_open]:
                if not _received(key.fileobj):  # type: ignore[arg-type]
                    self._selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
                    self.closed += 1
                    may_open -= 1
                    self._open()
            if may_open <= 0:
                time.sleep(max(0.0, until - time.monotonic()))

    def _open(self) -> None:
        caller = socket.create_connection(("127.0.0.1", self._port), timeout=5)
        caller.sendall(self._starts[self.opened % len(self._starts)])
        self.opened += 1
        caller.setblocking(False)
        self._selector.register(caller, selectors.EVENT_READ)


def _received(caller: socket.socket) -> bytes:
    try:
        return caller.recv(4096)
    except OSError:
        return b""
