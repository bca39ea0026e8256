"""The infill of llama.cpp's server, so that its plugins for Vim and VS Code can use Lacuna."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from lacuna_inference.api import Completions, Fill, Piece, Request, Sampling, Stop, StopReason
from lacuna_server.http import fields, streams
from lacuna_server.http.fields import Body
from lacuna_server.http.gateway import Gateway
from lacuna_server.http.shared import caller_of, parts_of, responses, session_key, strings_of, was_cut


class Extra(Body):
    """A piece of another file. It makes answers faster where it says the same again."""

    text: fields.Text = ""
    filename: fields.Path = ""


class InfillRequest(Body):
    """As llama.cpp's. `prompt` is the cursor's line up to the cursor. The temperature is 0 unless it is given."""

    input_prefix: fields.Text = ""
    input_suffix: fields.Text = ""
    prompt: fields.Text = ""
    input_extra: Annotated[tuple[Extra, ...], Field(max_length=1000)] = ()
    n_predict: Annotated[int, Field(ge=-2, le=100_000, description="-1 and -2: 128")] = 128
    n_indent: Annotated[int, Field(ge=0, le=1000, description="a line that is indented less ends the answer")] = 0
    temperature: fields.Temperature = 0.0
    top_p: fields.TopP = 1.0
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1, description="-1: none")] = -1
    stop: fields.StopTexts = ()
    stream: bool = False
    response_fields: Annotated[
        tuple[Annotated[str, Field(max_length=100)], ...], Field(max_length=100, description="`a/b` is b of a")
    ] = ()
    t_max_predict_ms: Annotated[int, Field(ge=0, le=10**9, description="0: no limit")] = 0
    session: fields.Session | None = None

    def request(self, caller: str) -> Request:
        return Request(
            parts_of(self.input_prefix + self.prompt, self.input_suffix),
            stop=Stop(
                128 if self.n_predict < 0 else self.n_predict,
                dedent_below=self.n_indent or None,
                strings=strings_of(self.stop),
            ),
            sampling=Sampling(self.temperature, self.top_p, None if self.seed < 0 else self.seed),
            key=session_key(self.session),
            caller=self.session or caller,
            deadline_s=self.t_max_predict_ms / 1000 or None,
            nearby=tuple(extra.text for extra in self.input_extra),
        )


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(tags=["llama.cpp"])

    @routes.post("/infill", openapi_extra=fields.schema(InfillRequest), responses=responses(200, 400, 409, 413, 503))
    async def infill(http: HttpRequest) -> Response:
        """What belongs between `input_prefix` with `prompt` and `input_suffix`."""
        asked = await fields.body(http, InfillRequest)
        request = asked.request(caller_of(http))
        if asked.stream:
            return await streams.events(gateway, request, http, _chunks)
        return JSONResponse(_chosen(_answer(await gateway.answer(request, http)), asked.response_fields))

    @routes.get("/health", responses={503: {"description": "The model is not loaded."}})
    async def health() -> Response:
        """Whether requests are answered."""
        warm = gateway.ready
        loading = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
        return JSONResponse({"status": "ok"} if warm else loading, 200 if warm else 503)

    return routes


def _chunks(piece: Piece | Completions) -> Iterator[dict[str, Any]]:
    if isinstance(piece, Piece):
        yield {"index": 0, "content": piece.token.text, "tokens": [], "stop": False}
    else:
        yield {**_answer(piece), "content": ""}


def _answer(completions: Completions) -> dict[str, Any]:
    fill, counters = completions.candidates[0].fills[0], completions.counters
    read = max(0, counters.prompt_tokens - counters.reused_tokens)
    prompt_ms, predicted_ms = 1000 * counters.first_token_s, 1000 * (counters.total_s - counters.first_token_s)
    return {
        "index": 0,
        "content": fill.text,
        "tokens": [],
        "stop": True,
        "model": completions.model,
        "tokens_predicted": fill.tokens,
        "tokens_evaluated": counters.prompt_tokens,
        "tokens_cached": counters.prompt_tokens + fill.tokens,
        "truncated": not counters.whole,
        "has_new_line": "\n" in fill.text,
        "stop_type": _stop_type(fill),
        "stopping_word": "",
        "timings": {
            "cache_n": counters.prompt_tokens - read,
            "prompt_n": read,
            "prompt_ms": prompt_ms,
            "prompt_per_token_ms": prompt_ms / max(1, read),
            "prompt_per_second": 1000 * read / prompt_ms if prompt_ms else 0.0,
            "predicted_n": fill.tokens,
            "predicted_ms": predicted_ms,
            "predicted_per_token_ms": predicted_ms / max(1, fill.tokens),
            "predicted_per_second": 1000 * fill.tokens / predicted_ms if predicted_ms else 0.0,
        },
    }


def _chosen(answer: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Only what is called for, under the names that it is called by; all of it when nothing is."""
    if not names:
        return answer
    found = {}
    for name in names:
        value: Any = answer
        for key in name.split("/"):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            found[name] = value
    return found


def _stop_type(fill: Fill) -> str:
    if was_cut(fill):
        return "limit"
    return "eos" if fill.reason is StopReason.END_OF_HOLE else "word"
