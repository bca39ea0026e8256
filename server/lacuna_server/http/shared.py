"""Helpers shared by the dialects: the caller's identity, the key of its cache, texts, stop strings and responses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request as HttpRequest

from lacuna_inference.api import CompletionResult, Fill, Request, StopReason
from lacuna_server.http.gateway import Gateway

_MAX_CONCURRENT = 8
"""Requests of one body that wait or run at a time, so that other callers get a share."""


def caller_of(http: HttpRequest) -> str:
    """The caller's IP address; empty if unknown."""
    return http.client.host if http.client else ""


def session_key(session: str | None, user: str | None = None, path: str | None = None) -> str | None:
    """The key of a caller's prefix cache: a session, or a user and a file. None without either."""
    if session:
        return f"session {session}"
    return f"user {user}\n{path}" if user and path else None


def parts_of(*texts: str | None) -> tuple[str, ...]:
    """The texts around the holes, without those that are None."""
    return tuple(text for text in texts if text is not None)


def strings_of(stop: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The stop strings."""
    return tuple(filter(None, (stop,) if isinstance(stop, str) else stop or ()))


def was_cut(fill: Fill) -> bool:
    """Whether a limit ended the answer, rather than the model or a stop rule."""
    return fill.reason in (StopReason.MAX_TOKENS, StopReason.CONTEXT_FULL, StopReason.DEADLINE)


async def all_answers(gateway: Gateway, requests: Sequence[Request], http: HttpRequest) -> list[CompletionResult]:
    """The answers to several requests of one caller, some concurrently. When one fails, the others are cancelled."""
    semaphore = asyncio.Semaphore(max(1, min(_MAX_CONCURRENT, gateway.limits.waiting)))

    async def answer(request: Request) -> CompletionResult:
        async with semaphore:
            return await gateway.answer(request, http)

    tasks = [asyncio.ensure_future(answer(request)) for request in requests]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI descriptions of an endpoint's statuses."""
    content = {"application/json": {"schema": {"type": "object"}}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in statuses}


_MEANINGS = {
    200: "The answer.",
    400: "The request cannot be answered.",
    404: "The model is not served here.",
    409: "A newer request of the session replaced this one.",
    413: "The body is too large.",
    422: "The body does not match the schema.",
    503: "Too many requests are waiting, or the model is not available.",
}
