"""The engine itself over HTTP, for language servers that have no model of their own: a request in, completions out."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from lacuna_inference.api import Request
from lacuna_inference.errors import BadRequest
from lacuna_inference.remote.wires import LACUNA_PATH, REQUEST, completions_json
from lacuna_server.http.fields import Malformed
from lacuna_server.http.gateway import Gateway
from lacuna_server.http.native import caller_of

MOST_CANDIDATES, MOST_PARTS = 16, 17


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(tags=["Lacuna"])

    @routes.post(LACUNA_PATH, include_in_schema=False)
    async def answer(http: HttpRequest) -> Response:
        """What `lacuna_inference.remote` asks; as stable as the package's version."""
        request = await _request(http)
        return JSONResponse(completions_json(await gateway.answer(request, http)))

    return routes


async def _request(http: HttpRequest) -> Request:
    try:
        request = REQUEST.validate_json(await http.body())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise Malformed(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    if not 1 <= request.candidates <= MOST_CANDIDATES or len(request.parts) > MOST_PARTS:
        raise BadRequest("Too many candidates or holes.", f"At most {MOST_CANDIDATES}.")
    caller = request.caller or caller_of(http)
    return replace(request, tell=None, caller=caller, key=request.key and f"{caller}\n{request.key}")
