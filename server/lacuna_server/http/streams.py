"""Streamed answers: server-sent events and JSON lines."""

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
from lacuna_server.http.gateway import Gateway, wait_unless_disconnected

Chunks: TypeAlias = Callable[["StreamEvent | CompletionResult"], Iterator[dict[str, Any]]]
"""From a stream event, or the final result, to the chunks to send."""


async def events(
    gateway: Gateway, request: Request, http: HttpRequest, chunks: Chunks, done: str = ""
) -> StreamingResponse:
    """Server-sent events, ending with `done` unless empty. An error before the first event is raised, a later one is
    sent as an event.
    """
    end = done and f"data: {done}\n\n"
    frames = await _started(gateway, request, http, chunks, lambda chunk: f"data: {_json(chunk)}\n\n", end)
    return StreamingResponse(frames, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def lines(gateway: Gateway, request: Request, http: HttpRequest, chunks: Chunks) -> StreamingResponse:
    """JSON lines, with errors as in `events`."""
    frames = await _started(gateway, request, http, chunks, lambda chunk: f"{_json(chunk)}\n", "")
    return StreamingResponse(frames, media_type="application/x-ndjson")


async def _started(
    gateway: Gateway,
    request: Request,
    http: HttpRequest,
    chunks: Chunks,
    frame: Callable[[dict[str, Any]], str],
    done: str,
) -> AsyncIterator[str]:
    """The frames. Waits for the first item, so that an error until then still sets the status, and a client that
    disconnects until then is noticed.
    """
    items = gateway.stream(request)
    first = asyncio.ensure_future(anext(items))
    try:
        await wait_unless_disconnected(first, http, gateway.limits.longest_s)
        first.result()
    except BaseException:
        first.cancel()
        await asyncio.wait({first})
        await items.aclose()
        raise
    return _frames(first.result(), items, chunks, frame, done, http.url.path)


async def _frames(
    first: StreamEvent | CompletionResult,
    items: AsyncGenerator[StreamEvent | CompletionResult],
    chunks: Chunks,
    frame: Callable[[dict[str, Any]], str],
    done: str,
    path: str,
) -> AsyncIterator[str]:
    item: StreamEvent | CompletionResult | None = first
    try:
        while item is not None:
            for chunk in chunks(item):
                yield frame(chunk)
            item = await anext(items, None)
    except LacunaError as error:
        yield frame(content(str(error), status_of(error, path), path))
    finally:
        await items.aclose()
    if done:
        yield done


def _json(chunk: dict[str, Any]) -> str:
    return json.dumps(chunk, allow_nan=False)
