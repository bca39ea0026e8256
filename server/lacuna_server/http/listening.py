"""How `lacuna serve` listens: uvicorn with connections that end, as many as the process has file descriptors for."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import sys

import uvicorn
from fastapi import FastAPI

from lacuna_server.http.connections import MAX_HEADER_BYTES, Connection, Patience, Pool
from lacuna_server.http.tls import Handshake

MAX_CONNECTIONS = 2000
_WANTED_FILES, _MAX_FILES = 4096, 2**20
_QUEUED = 512
"""Connections that the system keeps until they are accepted."""
_AT_ONCE = 8
"""Connections that the event loop accepts before anything else runs. They count when it does, so let them be few."""


class HttpServer(uvicorn.Server):
    """Serves `app` at `host` and `port` until it is told to stop; answers get `answer_s` to end then."""

    def __init__(
        self,
        app: FastAPI,
        host: str = "127.0.0.1",
        port: int = 0,
        secure: ssl.SSLContext | None = None,
        answer_s: float = 125.0,
        patience: Patience | None = None,
        most: int | None = None,
    ) -> None:
        """`most` connections are kept open: as many as the process may have, unless it is given."""
        patience = patience or Patience()
        self.pool, self.secure = Pool(most or affordable_connections()), secure is not None
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                access_log=False,
                log_config=None,
                loop="asyncio",  # the same everywhere, whatever else is installed
                http=_protocol(self.pool, patience, secure),
                ws="none",
                log_level="warning",
                server_header=False,
                backlog=_AT_ONCE,
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
                timeout_graceful_shutdown=int(answer_s) + 1,
                timeout_keep_alive=math.ceil(patience.idle_s) + 1,  # the connection's own limit comes first
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self.pool.on_loop_error)
        await super().startup(sockets)
        for listener in (listener for server in self.servers for listener in server.sockets):
            with socket.fromfd(listener.fileno(), listener.family, listener.type) as same:
                same.listen(_QUEUED)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.pool.closed = True
        await super().shutdown(sockets)


def affordable_connections() -> int:
    """How many connections may be open, with a quarter of the file descriptors left for everything else."""
    return min(MAX_CONNECTIONS, _files() * 3 // 4)


def _files() -> int:
    """How many files the process may have open. The soft limit is raised, as far as it helps and may be."""
    if sys.platform == "win32":
        return _MAX_FILES
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (_MAX_FILES if limit == resource.RLIM_INFINITY else limit for limit in limits)
    wanted = min(_WANTED_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, limits[1]))
    return max(soft, wanted)


def _protocol(pool: Pool, patience: Patience, secure: ssl.SSLContext | None) -> type[asyncio.Protocol]:
    """What uvicorn makes for each connection."""
    plain = type("PlainConnection", (Connection,), {"pool": pool, "patience": patience})
    return plain if secure is None else type("SecureConnection", (Handshake,), {"become": plain, "context": secure})
