"""Puts the HTTP server together: the dialects over one gateway over one engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse

from lacuna_inference import __version__
from lacuna_inference.api import Engine
from lacuna_inference.errors import LacunaError
from lacuna_inference.remote.server_kinds import LACUNA_PATH
from lacuna_server.http import engine as engine_endpoint
from lacuna_server.http import errors, llama_cpp, native, ollama, openai, operations, page
from lacuna_server.http.fields import Malformed
from lacuna_server.http.gateway import Gateway, GatewayLimits
from lacuna_server.http.guard import MAX_BODY_BYTES, Guard
from lacuna_server.http.metrics import Metrics
from lacuna_server.http.origins import parse


def build(
    engine: Engine,
    limits: GatewayLimits | None = None,
    token: str | None = None,
    origins: Sequence[str] = (),
    most_bytes: int = MAX_BODY_BYTES,
    local: bool = True,
    alias: str = "",
) -> FastAPI:
    """The application. It starts `engine`, and closes it at the end.

    `origins` are the web pages that may ask besides its own. `local`: only this machine can reach the server. `alias`
    is what callers know the model by. Raises BadRequest for an origin that is none.
    """
    listed = frozenset(map(parse, origins))
    metrics = Metrics(engine)
    gateway = Gateway(engine, limits or GatewayLimits(), metrics, alias)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.start()
        yield
        await asyncio.to_thread(engine.close)

    app = FastAPI(title="Lacuna", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    for router in (
        native.router(gateway),
        openai.router(gateway),
        llama_cpp.router(gateway),
        ollama.router(gateway),
        operations.router(gateway, metrics),
        engine_endpoint.router(gateway),
    ):
        app.include_router(router)
    app.add_api_route("/", page.page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/static", page.Files(directory=page.STATIC), name="static")
    for kind in (LacunaError, Malformed, ClientDisconnect):
        app.add_exception_handler(kind, errors.handle)
    app.add_exception_handler(HTTPException, _refused)  # type: ignore[arg-type]
    paths = [*app.openapi()["paths"], LACUNA_PATH]
    app.add_middleware(
        Guard, metrics=metrics, token=token, most_bytes=most_bytes, paths=paths, origins=listed, local=local
    )
    if listed:  # outside the guard: a browser asks without a token whether it may ask
        app.add_middleware(CORSMiddleware, allow_origins=list(listed), allow_methods=["*"], allow_headers=["*"])
    return app


async def _refused(http: HttpRequest, error: HTTPException) -> JSONResponse:
    """What the framework itself refuses: an unknown path, a method that a path does not have."""
    path = http.url.path
    return JSONResponse(errors.content(f"{error.detail}.", error.status_code, path), error.status_code, error.headers)
