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
from lacuna_server.http.origins import is_listed, is_loopback, is_own, name_in

logger = logging.getLogger("lacuna_server.http.access")

OPEN = frozenset({"/", "/health", "/health/live", "/health/ready", "/favicon.ico"})
"""What may be read (not written to) without a token: the page itself, and whether the server lives."""
MAX_BODY_BYTES = 8 * 2**20
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
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
        most_bytes: int = MAX_BODY_BYTES,
        paths: Collection[str] = (),
        origins: frozenset[str] = frozenset(),
        local: bool = True,
    ) -> None:
        """`paths` are the endpoints that are counted by name, `origins` the parsed ones that may ask besides our own.

        `local`: only this machine reaches the server, by the names that it has for itself.
        """
        self._origins, self._local = origins, local
        self._app, self._metrics, self._most, self._paths = app, metrics, most_bytes, frozenset(paths)
        self._token = token.encode() if token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, path = time.monotonic(), str(scope["path"])
        status = 500  # what uvicorn answers when nothing else did

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), _NO_SNIFFING]}
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
        if (foreign := self._foreign(scope)) is not None:
            await JSONResponse(content(foreign, 403, path), 403)(scope, receive, send)
            return
        if not self._may(scope, path):
            refusal = content("A token is needed: Authorization: Bearer TOKEN.", 401, path)
            await JSONResponse(refusal, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
            return
        taken, more, until = 0, True, time.monotonic() + SLOW_S

        async def counted() -> Message:
            nonlocal taken, more
            message = await (asyncio.wait_for(receive(), until - time.monotonic()) if more else receive())
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

    def _foreign(self, scope: Scope) -> str | None:
        """Why a browser may not ask here for the page that it shows, or None.

        A page could else use the server of whoever looks at it: browsers send simple requests without asking, and a
        name that a page's owner lets point to this machine makes its pages ours, unless the name is looked at.
        """
        headers = dict(scope["headers"])
        origin, host = headers.get(b"origin", b"").decode("latin-1"), headers.get(b"host", b"").decode("latin-1")
        name = name_in(host)
        if self._token is None and self._local and name and not is_loopback(name):
            return f"This server is not called {name!r}."
        if not origin or is_listed(origin, self._origins) or is_own(origin, host):
            return None
        return f"Pages of {origin} may not ask here: --cors."

    def _may(self, scope: Scope, path: str) -> bool:
        reads = scope["method"] in ("GET", "HEAD", "OPTIONS") and (path in OPEN or path.startswith("/static/"))
        if self._token is None or reads:
            return True
        scheme, _, given = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
        return hmac.compare_digest(given.strip(), self._token) and scheme.lower() == b"bearer"


def _length(scope: Scope) -> int | None:
    value = dict(scope["headers"]).get(b"content-length", b"")
    return int(value) if value.isdigit() else None
