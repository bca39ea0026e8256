"""What the dialects have in common: who asks, what keeps his cache, how text, ends and names reach the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request as HttpRequest

from lacuna_inference.api import CompletionResult, Fill, Request, StopReason
from lacuna_server.http.gateway import Gateway

_SIDE_BY_SIDE = 8
"""Requests of one body that wait or run at a time: others want an answer too."""


def caller_of(http: HttpRequest) -> str:
    """Who asks, as far as the connection tells."""
    return http.client.host if http.client else ""


def session_key(session: str | None, user: str | None = None, path: str | None = None) -> str | None:
    """What keeps a caller's cache: a session, or a user's file."""
    if session:
        return f"session {session}"
    return f"user {user}\n{path}" if user and path else None


def parts_of(*texts: str | None) -> tuple[str, ...]:
    """The texts around the holes; None is no text."""
    return tuple(text for text in texts if text is not None)


def strings_of(stop: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The texts before which an answer ends."""
    return tuple(filter(None, (stop,) if isinstance(stop, str) else stop or ()))


def was_cut(fill: Fill) -> bool:
    """Whether a limit ended the answer, not the model or a rule."""
    return fill.reason in (StopReason.MAX_TOKENS, StopReason.CONTEXT_FULL, StopReason.DEADLINE)


async def all_answers(gateway: Gateway, requests: Sequence[Request], http: HttpRequest) -> list[CompletionResult]:
    """The answers to several requests of one caller, some side by side. When one fails the others are given up."""
    places = asyncio.Semaphore(max(1, min(_SIDE_BY_SIDE, gateway.limits.waiting)))

    async def answer(request: Request) -> CompletionResult:
        async with places:
            return await gateway.answer(request, http)

    asked = [asyncio.ensure_future(answer(request)) for request in requests]
    try:
        return await asyncio.gather(*asked)
    finally:
        for one in asked:
            one.cancel()


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the document of the interface: what an endpoint answers besides what it is for."""
    content = {"application/json": {"schema": {"type": "object"}}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in statuses}


_MEANINGS = {
    200: "The answer.",
    400: "It cannot be done.",
    404: "It is not here.",
    409: "A newer request of the session came.",
    413: "The body is too large.",
    422: "The body is not as it must be.",
    503: "Too many wait, or the model is not there.",
}
