"""The model endpoints of Ollama's API. There is one model, and it answers to every name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from lacuna_inference import __version__
from lacuna_inference.api import Phase
from lacuna_server.http import describing, fields
from lacuna_server.http.fields import Body
from lacuna_server.http.gateway import Gateway
from lacuna_server.http.shared import responses

_KEPT_LOADED = timedelta(days=365)
"""A loaded model stays loaded, but Ollama's clients expect a time of expiry."""


class ShowRequest(Body):
    """Which model to show. `name` is the older name of `model`."""

    model: Annotated[str, Field(max_length=500)] = ""
    name: Annotated[str, Field(max_length=500)] = ""


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter()

    @routes.get("/api/version")
    async def version() -> dict[str, str]:
        return {"version": __version__}

    @routes.get("/api/tags")
    async def tags() -> dict[str, Any]:
        """The served model."""
        return {"models": [describing.listed(gateway)]}

    @routes.get("/api/ps")
    async def running() -> dict[str, Any]:
        """The served model, while it is loaded."""
        state = gateway.engine.state
        if state.phase is not Phase.WARM:
            return {"models": []}
        until = (datetime.now(UTC) + _KEPT_LOADED).isoformat()
        runtime = {"expires_at": until, "size_vram": 0, "context_length": state.facts.context}
        return {"models": [{**describing.listed(gateway), **runtime}]}

    @routes.post(
        "/api/show", openapi_extra=fields.schema(ShowRequest), responses=responses(400, 413, 422), response_model=None
    )
    async def show(http: HttpRequest) -> Response:
        """Details of the model. `template` contains `.Suffix` if the model is capable of infilling."""
        await fields.body(http, ShowRequest)
        return JSONResponse(_model_details(gateway))

    return routes


def _model_details(gateway: Gateway) -> dict[str, Any]:
    facts, listed = gateway.engine.state.facts, describing.listed(gateway)
    architecture = listed["details"]["family"]
    return {
        "license": "",
        "modelfile": f"FROM {gateway.model}\n",
        "parameters": f"num_ctx                        {facts.context}",
        "template": describing.template(facts),
        "details": listed["details"],
        "model_info": {
            "general.architecture": architecture,
            "general.parameter_count": facts.parameters,
            f"{architecture}.context_length": facts.context,
            f"{architecture}.vocab_size": facts.vocabulary,
        },
        "capabilities": ["completion", *(["insert"] if describing.infills(facts) else [])],
        "modified_at": listed["modified_at"],
    }
