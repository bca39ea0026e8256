"""The completions endpoint of OpenAI's API. A `suffix` is infilled."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from lacuna_server.http import describing, fields, streams
from lacuna_server.http.gateway import Gateway, NotServed
from lacuna_server.http.openai_answers import OpenAIAnswer
from lacuna_server.http.openai_bodies import OpenAIRequest
from lacuna_server.http.shared import all_answers, caller_of, responses

_ANSWERS = responses(200, 400, 404, 409, 413, 503)


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["OpenAI"])

    @routes.post("/completions", openapi_extra=fields.schema(OpenAIRequest), responses=_ANSWERS)
    async def completions(http: HttpRequest) -> Response:
        """Continues a prompt, or fills the hole between a prompt and a suffix."""
        body = await fields.body(http, OpenAIRequest)
        requests = body.requests(caller_of(http))
        answer = OpenAIAnswer(body, gateway.model)
        if body.stream:
            return await streams.events(gateway, requests[0], http, answer.chunks, "[DONE]")
        return JSONResponse(answer.whole(await all_answers(gateway, requests, http)))

    @routes.get("/models")
    async def models() -> dict[str, Any]:
        """The served model, in the format of OpenAI, vLLM and llama.cpp."""
        listed = [describing.listed(gateway)]
        return {"object": "list", "data": [describing.card(gateway)], "models": listed}

    @routes.get("/models/{name:path}", responses=_ANSWERS)
    async def model(name: str) -> Response:
        """The model object of the served model."""
        if name not in (gateway.model, "default"):
            raise NotServed(f"The model {name!r} is not served here.", f"The served model is {gateway.model!r}.")
        return JSONResponse(describing.card(gateway))

    return routes
