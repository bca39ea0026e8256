"""Health checks and metrics."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from lacuna_server.http.gateway import Gateway
from lacuna_server.http.metrics import Metrics


def router(gateway: Gateway, metrics: Metrics) -> APIRouter:
    routes = APIRouter(tags=["Operations"])

    @routes.get("/health/live")
    async def live() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "live"}

    @routes.get("/health/ready", responses={503: {"description": "The model is not loaded."}})
    async def ready() -> Response:
        """Whether requests are answered. The next request loads a model that was unloaded while idle."""
        state = gateway.engine.state
        status = {
            "status": state.phase.value,
            "model": state.model,
            "message": state.message,
            "progress": state.progress,
            "languages": list(state.facts.languages),
            "shows_files": state.facts.shows_files,
            "mixes_files": state.facts.mixes_files,
            "reading_speed": round(state.facts.reading_speed),
        }
        return JSONResponse(status, 200 if gateway.ready else 503)

    @routes.get("/metrics", response_class=Response)
    async def numbers() -> Response:
        """Metrics for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return routes
