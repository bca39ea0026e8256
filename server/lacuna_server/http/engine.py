"""The engine's own endpoint, for language servers that use a remote engine: a request in, a completion result out."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from lacuna_inference.api import Request
from lacuna_inference.errors import BadRequest
from lacuna_inference.remote.json_form import name_on_wire, request_from_json, result_to_json
from lacuna_inference.remote.server_kinds import LACUNA_PATH
from lacuna_server.http.fields import Malformed
from lacuna_server.http.gateway import Gateway
from lacuna_server.http.shared import caller_of

MAX_CANDIDATES, MAX_PARTS, MAX_TOKENS, MAX_TOP_LOGPROBS, MAX_TEMPERATURE = 16, 17, 100_000, 20, 10
MAX_PENALTY, MAX_BIAS = 10, 1000


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(tags=["Lacuna"])

    @routes.post(LACUNA_PATH, include_in_schema=False)
    async def answer(http: HttpRequest) -> Response:
        """The endpoint for `lacuna_inference.remote`. Its format is that of `remote/json_form.py`."""
        request = await _request(http)
        return JSONResponse(result_to_json(await gateway.answer(request, http)))

    return routes


async def _request(http: HttpRequest) -> Request:
    try:
        request = request_from_json(from_json(await http.body()))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = [name_on_wire(str(part)) for part in first["loc"]]
        raise Malformed(f"{'.'.join(where)}: {first['msg']}.") from None
    except ValueError as error:
        raise Malformed(f"The body is not JSON: {error}.") from None
    if (field := _out_of_bounds(request)) is not None:
        raise BadRequest(f"The request's {field} is out of range.", "Check that the language server's version matches.")
    caller = request.caller or caller_of(http)
    return replace(
        request, on_token=None, caller=caller, document_id=request.document_id and f"{caller}\n{request.document_id}"
    )


def _out_of_bounds(request: Request) -> str | None:
    """The field of a request that is out of the range that Lacuna's own clients send, or None."""
    stop, sampling, deadline = request.stop, request.sampling, request.deadline_s
    in_range = {
        "number of candidates": 1 <= request.candidates <= MAX_CANDIDATES,
        "number of parts": 1 <= len(request.parts) <= MAX_PARTS,
        "number of lines": stop.max_lines is None or stop.max_lines >= 1,
        "number of tokens": 0 <= stop.max_tokens <= MAX_TOKENS,
        "temperature": 0 <= sampling.temperature <= MAX_TEMPERATURE,
        "top_p": 0 <= sampling.top_p <= 1,
        "min_p": 0 <= sampling.min_p <= 1,
        "penalties": max(map(abs, (sampling.presence_penalty, sampling.frequency_penalty))) <= MAX_PENALTY,
        "biases": all(token >= 0 and abs(bias) <= MAX_BIAS for token, bias in sampling.logit_bias),
        "seed": sampling.seed is None or sampling.seed >= 0,
        "deadline": deadline is None or 0 < deadline < float("inf"),
        "number of alternatives": 0 <= (request.top_logprobs or 0) <= MAX_TOP_LOGPROBS
        and 0 <= (request.prompt_logprobs or 0) <= MAX_TOP_LOGPROBS,
    }
    return next((field for field, is_in_range in in_range.items() if not is_in_range), None)
