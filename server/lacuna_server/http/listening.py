"""The uvicorn server of `lacuna serve`, with timeouts and as many connections as file descriptors allow."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import sys

import uvicorn
from fastapi import FastAPI

from lacuna_server.http.connections import MAX_HEADER_BYTES, Connection, Pool, Timeouts
from lacuna_server.http.tls import Handshake

MAX_CONNECTIONS = 2000
_TARGET_FILES, _UNLIMITED_FILES = 4096, 2**20
_BACKLOG = 512
"""Connections that the operating system queues until they are accepted."""
_MAX_ACCEPTS = 8
"""Connections that the event loop accepts in one go. Small, because the pool counts them only afterwards."""


class HttpServer(uvicorn.Server):
    """Serves `app` at `host` and `port` until it is stopped. Answers then have `answer_s` to finish."""

    def __init__(
        self,
        app: FastAPI,
        host: str = "127.0.0.1",
        port: int = 0,
        secure: ssl.SSLContext | None = None,
        answer_s: float = 125.0,
        timeouts: Timeouts | None = None,
        max_connections: int | None = None,
    ) -> None:
        """`max_connections` is derived from the limit on file descriptors unless given."""
        timeouts = timeouts or Timeouts()
        self.pool, self.secure = Pool(max_connections or default_max_connections()), secure is not None
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                access_log=False,
                log_config=None,
                loop="asyncio",  # the same everywhere, whatever is installed
                http=_protocol(self.pool, timeouts, secure),
                ws="none",
                log_level="warning",
                server_header=False,
                backlog=_MAX_ACCEPTS,
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
                timeout_graceful_shutdown=int(answer_s) + 1,
                timeout_keep_alive=math.ceil(timeouts.idle_s) + 1,  # the connection's own limit applies first
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self.pool.on_loop_error)
        await super().startup(sockets)
        for listener in (listener for server in self.servers for listener in server.sockets):
            with socket.fromfd(listener.fileno(), listener.family, listener.type) as duplicate:
                duplicate.listen(_BACKLOG)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.pool.closed = True
        await super().shutdown(sockets)


def default_max_connections() -> int:
    """How many connections may be open. A quarter of the file descriptors is left for everything else."""
    return min(MAX_CONNECTIONS, _max_open_files() * 3 // 4)


def _max_open_files() -> int:
    """How many files the process may have open, after raising the soft limit if it is low."""
    if sys.platform == "win32":
        return _UNLIMITED_FILES
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (_UNLIMITED_FILES if limit == resource.RLIM_INFINITY else limit for limit in limits)
    target = min(_TARGET_FILES, hard)
    if soft < target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, limits[1]))
    return max(soft, target)


def _protocol(pool: Pool, timeouts: Timeouts, secure: ssl.SSLContext | None) -> type[asyncio.Protocol]:
    """The class that uvicorn instantiates for each connection."""
    plain = type("PlainConnection", (Connection,), {"pool": pool, "timeouts": timeouts})
    return plain if secure is None else type("SecureConnection", (Handshake,), {"become": plain, "context": secure})
