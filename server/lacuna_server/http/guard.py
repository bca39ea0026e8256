"""Middleware for every request: checks of origin and token, limits for the body, the access log and the metrics.

The log has method, path, status and time, but no text of a request and no query.
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
"""Paths that may be read without a token: the playground and the health checks."""
MAX_BODY_BYTES = 8 * 2**20
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
SLOW_S = 30.0
"""Seconds within which a body must arrive."""


class TooLarge(Exception):
    """The body has more bytes than allowed."""


class Guard:
    """ASGI middleware."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        token: str | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        paths: Collection[str] = (),
        origins: frozenset[str] = frozenset(),
        local: bool = True,
    ) -> None:
        """`paths` are the endpoints that are counted by name. `origins`, parsed, are allowed besides the server's own.

        `local` means that only this machine can reach the server, by a loopback name.
        """
        self._origins, self._local = origins, local
        self._app, self._metrics, self._max_body_bytes, self._paths = app, metrics, max_body_bytes, frozenset(paths)
        self._token = token.encode() if token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, path = time.monotonic(), str(scope["path"])
        status = 500  # uvicorn's status when the application sends no response

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), _NO_SNIFFING]}
            await send(message)

        try:
            await self._guarded(scope, receive, send_noting_status, path)
        finally:
            seconds = time.monotonic() - started
            label = path if path in self._paths else "other"
            self._metrics.requests.labels(label, str(status)).inc()
            self._metrics.seconds.labels(label).observe(seconds)
            logger.info("%s %s %d %.1f ms", scope["method"], label, status, 1000 * seconds)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        if (refusal := self._origin_refusal(scope)) is not None:
            await JSONResponse(content(refusal, 403, path), 403)(scope, receive, send)
            return
        if not self._is_authorized(scope, path):
            unauthorized = content("A token is required: Authorization: Bearer TOKEN.", 401, path)
            await JSONResponse(unauthorized, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
            return
        received, more_body, deadline = 0, True, time.monotonic() + SLOW_S

        async def receive_limited() -> Message:
            nonlocal received, more_body
            message = await (asyncio.wait_for(receive(), deadline - time.monotonic()) if more_body else receive())
            received += len(message.get("body", b""))
            more_body = message.get("more_body", False)
            if received > self._max_body_bytes:
                raise TooLarge
            return message

        try:
            declared = _content_length(scope)
            if declared is not None and declared > self._max_body_bytes:
                raise TooLarge
            await self._app(scope, receive_limited, send)
        except TooLarge:
            too_large = content(f"The body has more than {self._max_body_bytes} bytes.", 413, path)
            await JSONResponse(too_large, 413, {"Connection": "close"})(scope, receive, send)
        except TimeoutError:
            if not more_body:
                raise
            timed_out = content(f"The body did not arrive within {SLOW_S:.0f} s.", 408, path)
            await JSONResponse(timed_out, 408, {"Connection": "close"})(scope, receive, send)

    def _origin_refusal(self, scope: Scope) -> str | None:
        """Why a page in a browser may not use this server, or None.

        Without the check, any page could use the server of its visitors. Browsers send simple requests without a
        preflight, and with DNS rebinding a page's own host name points to this machine, so the Host is checked, too.
        """
        headers = dict(scope["headers"])
        origin, host = headers.get(b"origin", b"").decode("latin-1"), headers.get(b"host", b"").decode("latin-1")
        name = name_in(host)
        if self._token is None and self._local and name and not is_loopback(name):
            return f"This server does not answer to the name {name!r}."
        if not origin or is_listed(origin, self._origins) or is_own(origin, host):
            return None
        return f"Pages of {origin} may not use this server. Allow the origin with --cors."

    def _is_authorized(self, scope: Scope, path: str) -> bool:
        is_public = scope["method"] in ("GET", "HEAD", "OPTIONS") and (path in OPEN or path.startswith("/static/"))
        if self._token is None or is_public:
            return True
        scheme, _, token = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
        return hmac.compare_digest(token.strip(), self._token) and scheme.lower() == b"bearer"


def _content_length(scope: Scope) -> int | None:
    value = dict(scope["headers"]).get(b"content-length", b"")
    return int(value) if value.isdigit() else None
