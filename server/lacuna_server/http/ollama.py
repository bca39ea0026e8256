"""The generate endpoint of Ollama's interface, with its `suffix`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from lacuna_inference import __version__
from lacuna_inference.api import Completions, Piece, Request, Sampling, Stop
from lacuna_server.http import fields, streams
from lacuna_server.http.fields import Body
from lacuna_server.http.gateway import Gateway
from lacuna_server.http.shared import caller_of, parts_of, responses, session_key, strings_of, was_cut


class Options(Body):
    num_predict: Annotated[int, Field(ge=-2, le=100_000, description="-1 and -2: 128")] = 128
    temperature: fields.Temperature = 0.0
    top_p: fields.TopP = 1.0
    seed: fields.Seed | None = None
    stop: fields.StopText | fields.StopTexts | None = None


class GenerateRequest(Body):
    """As Ollama's. The temperature is 0 unless it is given."""

    model: Annotated[str, Field(max_length=500)] = ""
    prompt: fields.Text = ""
    suffix: fields.Text = ""
    stream: bool = True
    options: Options | None = None
    session: fields.Session | None = None

    def request(self, caller: str) -> Request:
        options = self.options or Options()
        return Request(
            parts_of(self.prompt, self.suffix or None),
            stop=Stop(128 if options.num_predict < 0 else options.num_predict, strings=strings_of(options.stop)),
            sampling=Sampling(options.temperature, options.top_p, fields.seed(options.seed)),
            key=session_key(self.session),
            caller=self.session or caller,
        )


_REFUSALS = responses(400, 409, 413, 422, 503)


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(prefix="/api", tags=["Ollama"])

    @routes.post("/generate", openapi_extra=fields.schema(GenerateRequest), responses=_REFUSALS)
    async def generate(http: HttpRequest) -> Response:
        """A completion of `prompt`, or what belongs before `suffix`; a line for each piece unless told not to."""
        asked = await fields.body(http, GenerateRequest)
        request = asked.request(caller_of(http))
        if asked.stream:
            return await streams.lines(gateway, request, http, _chunks(gateway))
        completions = await gateway.answer(request, http)
        return JSONResponse({**_end(completions), "response": completions.candidates[0].text})

    @routes.get("/tags")
    async def tags() -> dict[str, Any]:
        """The model that is served."""
        name = gateway.engine.state.model
        return {
            "models": [{"name": name, "model": name, "modified_at": _now(), "size": 0, "digest": "", "details": {}}]
        }

    @routes.get("/version")
    async def version() -> dict[str, str]:
        return {"version": __version__}

    return routes


def _chunks(gateway: Gateway) -> Callable[[Piece | Completions], Iterator[dict[str, Any]]]:
    def chunks(piece: Piece | Completions) -> Iterator[dict[str, Any]]:
        if isinstance(piece, Piece):
            model = gateway.engine.state.model
            yield {"model": model, "created_at": _now(), "response": piece.token.text, "done": False}
        else:
            yield _end(piece)

    return chunks


def _end(completions: Completions) -> dict[str, Any]:
    counters, fill = completions.counters, completions.candidates[0].fills[0]
    return {
        "model": completions.model,
        "created_at": _now(),
        "response": "",
        "done": True,
        "done_reason": "length" if was_cut(fill) else "stop",
        "total_duration": _nanoseconds(counters.total_s + counters.queued_s),
        "load_duration": 0,
        "prompt_eval_count": counters.prompt_tokens,
        "prompt_eval_duration": _nanoseconds(counters.first_token_s),
        "eval_count": fill.tokens,
        "eval_duration": _nanoseconds(counters.total_s - counters.first_token_s),
    }


def _nanoseconds(seconds: float) -> int:
    return max(0, round(seconds * 1e9))


def _now() -> str:
    return datetime.now(UTC).isoformat()
