"""Answers that are sent while they are written: server-sent events and lines of JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

from starlette.requests import Request as HttpRequest
from starlette.responses import StreamingResponse

from lacuna_inference.api import CompletionResult, Request, StreamEvent
from lacuna_inference.errors import LacunaError
from lacuna_server.http.errors import content, status_of
from lacuna_server.http.gateway import Gateway, unless_left

Chunks: TypeAlias = Callable[["StreamEvent | CompletionResult"], Iterator[dict[str, Any]]]
"""What is sent for a piece of the answer, and for all of it at the end."""


async def events(
    gateway: Gateway, request: Request, http: HttpRequest, chunks: Chunks, done: str = ""
) -> StreamingResponse:
    """Server-sent events, `done` the last of them. A failure before the first is raised, a later one is an event."""
    end = done and f"data: {done}\n\n"
    sent = _begun(gateway, request, http, chunks, lambda chunk: f"data: {_json(chunk)}\n\n", end)
    return StreamingResponse(await sent, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def lines(gateway: Gateway, request: Request, http: HttpRequest, chunks: Chunks) -> StreamingResponse:
    """A JSON object in each line."""
    sent = _begun(gateway, request, http, chunks, lambda chunk: f"{_json(chunk)}\n", "")
    return StreamingResponse(await sent, media_type="application/x-ndjson")


async def _begun(
    gateway: Gateway,
    request: Request,
    http: HttpRequest,
    chunks: Chunks,
    frame: Callable[[dict[str, Any]], str],
    done: str,
) -> AsyncIterator[str]:
    """The frames; returns when the first is there, so that a refusal is still a status, and a caller may leave."""
    pieces = gateway.pieces(request)
    first = asyncio.ensure_future(anext(pieces))
    try:
        await unless_left(first, http, gateway.limits.longest_s)
        first.result()
    except BaseException:
        first.cancel()
        await asyncio.wait({first})
        await pieces.aclose()
        raise
    return _frames(first.result(), pieces, chunks, frame, done, http.url.path)


async def _frames(
    first: StreamEvent | CompletionResult,
    pieces: AsyncGenerator[StreamEvent | CompletionResult],
    chunks: Chunks,
    frame: Callable[[dict[str, Any]], str],
    done: str,
    path: str,
) -> AsyncIterator[str]:
    piece: StreamEvent | CompletionResult | None = first
    try:
        while piece is not None:
            for chunk in chunks(piece):
                yield frame(chunk)
            piece = await anext(pieces, None)
    except LacunaError as error:
        yield frame(content(str(error), status_of(error, path), path))
    finally:
        await pieces.aclose()
    if done:
        yield done


def _json(chunk: dict[str, Any]) -> str:
    return json.dumps(chunk, allow_nan=False)
