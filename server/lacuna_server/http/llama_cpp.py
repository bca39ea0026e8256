"""The interface of llama.cpp's server, so that its plugins for Vim and VS Code can use Lacuna."""

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
    200: {"description": "The answer, or a list of them.", "content": {"application/json": {"schema": {}}}},
}


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(tags=["llama.cpp"])

    @routes.post("/infill", openapi_extra=fields.schema(InfillRequest), responses=_ANSWERS)
    async def infill(http: HttpRequest) -> Response:
        """What belongs between `input_prefix` with `prompt` and `input_suffix`."""
        asked = await fields.body(http, InfillRequest)
        request = asked.request(caller_of(http))
        if asked.stream:
            return await streams.events(gateway, request, http, answers.chunks(asked, gateway.model))
        answer = answers.whole(await gateway.answer(request, http), asked, gateway.model)
        return JSONResponse(answers.chosen(answer, asked.response_fields))

    @routes.post("/completions", openapi_extra=fields.schema(LlamaCppRequest), responses=_ONE_OR_SEVERAL)
    @routes.post("/completion", openapi_extra=fields.schema(LlamaCppRequest), responses=_ONE_OR_SEVERAL)
    async def completion(http: HttpRequest) -> Response:
        """What follows a prompt that is taken as it is; a list of answers to a list of prompts."""
        asked = await fields.body(http, LlamaCppRequest)
        requests = asked.requests(caller_of(http))
        texts = [prompt if isinstance(prompt, str) else "" for prompt in asked.prompts]
        if asked.stream:
            return await streams.events(gateway, requests[0], http, answers.chunks(asked, gateway.model, texts[0]))
        said = [
            answers.chosen(
                answers.whole(completions, asked, gateway.model, texts[number], number), asked.response_fields
            )
            for number, completions in enumerate(await all_answers(gateway, requests, http))
        ]
        return JSONResponse(said if asked.is_list else said[0])

    _add_model(routes, gateway)
    _add_tokens(routes, gateway)
    return routes


def _add_model(routes: APIRouter, gateway: Gateway) -> None:
    @routes.get("/health", responses={503: {"description": "The model is not loaded."}})
    async def health() -> Response:
        """Whether requests are answered."""
        warm = gateway.ready
        loading = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
        return JSONResponse({"status": "ok"} if warm else loading, 200 if warm else 503)

    @routes.get("/props")
    async def props() -> dict[str, Any]:
        """What the server is, and what it does unless told otherwise."""
        return answers.props(gateway)

    @routes.get("/slots")
    async def slots() -> list[dict[str, Any]]:
        """Whether somebody is answered."""
        return [answers.slot(gateway)]


def _add_tokens(routes: APIRouter, gateway: Gateway) -> None:
    @routes.post("/tokenize", openapi_extra=fields.schema(TokenizeRequest), responses=_ANSWERS)
    async def tokenize(http: HttpRequest) -> Response:
        """The ids of the tokens that a text is made of."""
        asked = await fields.body(http, TokenizeRequest)
        wanted = TokenizeOptions(specials=asked.parse_special, begin=asked.add_special)
        request = Request((asked.content,), raw=Raw.YES, caller=caller_of(http), tokenize=wanted)
        found = (await gateway.answer(request, http)).prompt_logprobs
        pieces = [{"id": token.id, "piece": token.text} for token in found]
        return JSONResponse({"tokens": pieces if asked.with_pieces else [token.id for token in found]})

    @routes.post("/detokenize", openapi_extra=fields.schema(DetokenizeRequest), responses=_ANSWERS)
    async def detokenize(http: HttpRequest) -> Response:
        """The text that tokens make up."""
        asked = await fields.body(http, DetokenizeRequest)
        request = Request(("",), ids=asked.tokens, caller=caller_of(http), tokenize=TokenizeOptions())
        found = (await gateway.answer(request, http)).prompt_logprobs
        return JSONResponse({"content": "".join(token.text for token in found)})
