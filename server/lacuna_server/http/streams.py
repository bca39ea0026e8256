"""Answers that are sent while they are written: server-sent events and lines of JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

from starlette.responses import StreamingResponse

from lacuna_inference.api import Completions, Piece, Request
from lacuna_inference.errors import LacunaError
from lacuna_server.http.errors import content, status_of
from lacuna_server.http.gateway import Gateway

Chunks: TypeAlias = Callable[["Piece | Completions"], Iterator[dict[str, Any]]]
"""What is sent for a piece of the answer, and for all of it at the end."""


async def events(gateway: Gateway, request: Request, chunks: Chunks, path: str, done: str = "") -> StreamingResponse:
    """Server-sent events, `done` the last of them. A failure before the first is raised, a later one is an event."""
    sent = _begun(
        gateway, request, chunks, path, lambda chunk: f"data: {_json(chunk)}\n\n", done and f"data: {done}\n\n"
    )
    return StreamingResponse(await sent, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def lines(gateway: Gateway, request: Request, chunks: Chunks, path: str) -> StreamingResponse:
    """A JSON object in each line."""
    sent = _begun(gateway, request, chunks, path, lambda chunk: f"{_json(chunk)}\n", "")
    return StreamingResponse(await sent, media_type="application/x-ndjson")


async def _begun(
    gateway: Gateway, request: Request, chunks: Chunks, path: str, frame: Callable[[dict[str, Any]], str], done: str
) -> AsyncIterator[str]:
    """The frames; returns when the first is there, so that a refusal is still a status."""
    pieces = gateway.pieces(request)
    first = await anext(pieces)

    async def frames() -> AsyncIterator[str]:
        piece: Piece | Completions | None = first
        try:
            while piece is not None:
                for chunk in chunks(piece):
                    yield frame(chunk)
                piece = await anext(pieces, None)
        except LacunaError as error:
            yield frame(content(str(error), status_of(error, path), path))
        finally:
            await pieces.aclose()  # type: ignore[attr-defined]
        if done:
            yield done

    return frames()


def _json(chunk: dict[str, Any]) -> str:
    return json.dumps(chunk, ensure_ascii=False, allow_nan=False)
