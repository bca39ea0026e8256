"""What every request passes first: a token where one is wanted, a limit for its body, the log and the metrics.

The log has method, path, status and time; no text of a request and no query.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Collection

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lacuna_server.http.errors import content
from lacuna_server.http.metrics import Metrics

logger = logging.getLogger("lacuna_server.http.access")

OPEN = frozenset({"/", "/health", "/health/live", "/health/ready", "/favicon.ico"})
"""What may be read (not written to) without a token: the page itself, and whether the server lives."""
MOST_BYTES = 8 * 2**20
SLOW_S = 30.0
"""Seconds within which a body must have come."""


class TooLarge(Exception):
    """The body has more bytes than are taken."""


class Guard:
    """ASGI middleware."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        token: str | None = None,
        most_bytes: int = MOST_BYTES,
        paths: Collection[str] = (),
    ) -> None:
        """`paths` are the endpoints that are counted by name."""
        self._app, self._metrics, self._most, self._paths = app, metrics, most_bytes, frozenset(paths)
        self._token = token.encode() if token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, path = time.monotonic(), str(scope["path"])
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._guarded(scope, receive, noting, path)
        finally:
            seconds = time.monotonic() - started
            known = path if path in self._paths else "other"
            self._metrics.requests.labels(known, str(status)).inc()
            self._metrics.seconds.labels(known).observe(seconds)
            logger.info("%s %s %d %.1f ms", scope["method"], known, status, 1000 * seconds)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        if not self._may(scope, path):
            refusal = content("A token is needed: Authorization: Bearer TOKEN.", 401, path)
            await JSONResponse(refusal, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
            return
        taken, more = 0, True

        async def counted() -> Message:
            nonlocal taken, more
            message = await (asyncio.wait_for(receive(), SLOW_S) if more else receive())
            taken += len(message.get("body", b""))
            more = message.get("more_body", False)
            if taken > self._most:
                raise TooLarge
            return message

        try:
            declared = _length(scope)
            if declared is not None and declared > self._most:
                raise TooLarge
            await self._app(scope, counted, send)
        except TooLarge:
            limit = f"The body has more than {self._most} bytes."
            await JSONResponse(content(limit, 413, path), 413, {"Connection": "close"})(scope, receive, send)
        except TimeoutError:
            if not more:
                raise
            slow = content(f"The body did not come within {SLOW_S:.0f} s.", 408, path)
            await JSONResponse(slow, 408, {"Connection": "close"})(scope, receive, send)

    def _may(self, scope: Scope, path: str) -> bool:
        reads = scope["method"] in ("GET", "HEAD", "OPTIONS") and (path in OPEN or path.startswith("/static/"))
        if self._token is None or reads:
            return True
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, b"Bearer " + self._token)


def _length(scope: Scope) -> int | None:
    value = dict(scope["headers"]).get(b"content-length", b"")
    return int(value) if value.isdigit() else None
