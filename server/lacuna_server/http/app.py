"""Builds the HTTP application: the routers of all dialects over one gateway to one engine."""

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
    max_body_bytes: int = MAX_BODY_BYTES,
    local: bool = True,
    alias: str = "",
) -> FastAPI:
    """The application. It starts `engine` on startup and closes it on shutdown.

    `origins` are allowed besides the server's own. `local` means that only this machine can reach the server. `alias`
    is the model's name for callers. Raises BadRequest for a malformed origin.
    """
    allowed_origins = frozenset(map(parse, origins))
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
    app.add_exception_handler(HTTPException, _on_http_exception)  # type: ignore[arg-type]
    paths = [*app.openapi()["paths"], LACUNA_PATH]
    app.add_middleware(
        Guard,
        metrics=metrics,
        token=token,
        max_body_bytes=max_body_bytes,
        paths=paths,
        origins=allowed_origins,
        local=local,
    )
    if allowed_origins:  # outside the guard, because browsers send preflight requests without a token
        app.add_middleware(
            CORSMiddleware, allow_origins=list(allowed_origins), allow_methods=["*"], allow_headers=["*"]
        )
    return app


async def _on_http_exception(http: HttpRequest, error: HTTPException) -> JSONResponse:
    """The response to requests that the framework refuses: an unknown path, a method that a path does not have."""
    path = http.url.path
    return JSONResponse(errors.content(f"{error.detail}.", error.status_code, path), error.status_code, error.headers)
