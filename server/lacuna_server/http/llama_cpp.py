"""The API of llama.cpp's server, so that its plugins for Vim and VS Code can use Lacuna."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from lacuna_inference.api import Raw, Request, TokenizeOptions
from lacuna_server.http import fields, streams
from lacuna_server.http import llama_cpp_answers as answers
from lacuna_server.http.gateway import Gateway
from lacuna_server.http.llama_cpp_bodies import DetokenizeRequest, InfillRequest, LlamaCppRequest, TokenizeRequest
from lacuna_server.http.shared import all_answers, caller_of, responses

_ANSWERS = responses(200, 400, 409, 413, 503)
_ONE_OR_SEVERAL: dict[int | str, dict[str, Any]] = {
    **_ANSWERS,
    200: {"description": "The answer, or a list of answers.", "content": {"application/json": {"schema": {}}}},
}


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(tags=["llama.cpp"])

    @routes.post("/infill", openapi_extra=fields.schema(InfillRequest), responses=_ANSWERS)
    async def infill(http: HttpRequest) -> Response:
        """Fills the hole between `input_prefix` followed by `prompt` and `input_suffix`."""
        body = await fields.body(http, InfillRequest)
        request = body.request(caller_of(http))
        if body.stream:
            return await streams.events(gateway, request, http, answers.chunks(body, gateway.model))
        answer = answers.whole(await gateway.answer(request, http), body, gateway.model)
        return JSONResponse(answers.select_fields(answer, body.response_fields))

    @routes.post("/completions", openapi_extra=fields.schema(LlamaCppRequest), responses=_ONE_OR_SEVERAL)
    @routes.post("/completion", openapi_extra=fields.schema(LlamaCppRequest), responses=_ONE_OR_SEVERAL)
    async def completion(http: HttpRequest) -> Response:
        """Continues a raw prompt. A list of prompts gets a list of answers."""
        body = await fields.body(http, LlamaCppRequest)
        requests = body.requests(caller_of(http))
        texts = [prompt if isinstance(prompt, str) else "" for prompt in body.prompts]
        if body.stream:
            return await streams.events(gateway, requests[0], http, answers.chunks(body, gateway.model, texts[0]))
        replies = [
            answers.select_fields(
                answers.whole(result, body, gateway.model, texts[number], number), body.response_fields
            )
            for number, result in enumerate(await all_answers(gateway, requests, http))
        ]
        return JSONResponse(replies if body.is_list else replies[0])

    _add_model_routes(routes, gateway)
    _add_token_routes(routes, gateway)
    return routes


def _add_model_routes(routes: APIRouter, gateway: Gateway) -> None:
    @routes.get("/health", responses={503: {"description": "The model is not loaded."}})
    async def health() -> Response:
        """Whether requests are answered."""
        is_ready = gateway.ready
        loading = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
        return JSONResponse({"status": "ok"} if is_ready else loading, 200 if is_ready else 503)

    @routes.get("/props")
    async def props() -> dict[str, Any]:
        """The server's properties and the default settings for generation."""
        return answers.props(gateway)

    @routes.get("/slots")
    async def slots() -> list[dict[str, Any]]:
        """The server's one slot, and whether it is processing a request."""
        return [answers.slot(gateway)]


def _add_token_routes(routes: APIRouter, gateway: Gateway) -> None:
    @routes.post("/tokenize", openapi_extra=fields.schema(TokenizeRequest), responses=_ANSWERS)
    async def tokenize(http: HttpRequest) -> Response:
        """The token ids of a text."""
        body = await fields.body(http, TokenizeRequest)
        options = TokenizeOptions(specials=body.parse_special, begin=body.add_special)
        request = Request((body.content,), raw=Raw.YES, caller=caller_of(http), tokenize=options)
        tokens = (await gateway.answer(request, http)).prompt_logprobs
        pieces = [{"id": token.id, "piece": token.text} for token in tokens]
        return JSONResponse({"tokens": pieces if body.with_pieces else [token.id for token in tokens]})

    @routes.post("/detokenize", openapi_extra=fields.schema(DetokenizeRequest), responses=_ANSWERS)
    async def detokenize(http: HttpRequest) -> Response:
        """The text of token ids."""
        body = await fields.body(http, DetokenizeRequest)
        request = Request(("",), ids=body.tokens, caller=caller_of(http), tokenize=TokenizeOptions())
        tokens = (await gateway.answer(request, http)).prompt_logprobs
        return JSONResponse({"content": "".join(token.text for token in tokens)})
