"""Lacuna's own API: code in, code and its completion out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from lacuna_inference.api import CompletionResult, Request, Sampling, Stop, StreamEvent
from lacuna_server.core.languages import path_for
from lacuna_server.core.notes import note
from lacuna_server.http import fields, streams
from lacuna_server.http.fields import Body
from lacuna_server.http.gateway import Gateway
from lacuna_server.http.shared import caller_of, parts_of, responses, session_key, strings_of


class NativeRequest(Body):
    """`data` is the code before the cursor and `suffix` the code after it, or `parts` are the texts around several
    holes.
    """

    data: Annotated[fields.Text | None, Field(description="code before the cursor")] = None
    suffix: Annotated[fields.Text | None, Field(description="code after the cursor")] = None
    parts: Annotated[
        list[fields.Text] | None, Field(min_length=1, max_length=17, description="texts between the holes")
    ] = None
    max_tokens: fields.Tokens = 64
    temperature: Annotated[fields.Temperature, Field(description="0 is greedy")] = 0.0
    top_p: fields.TopP = 0.95
    n: Annotated[fields.Count, Field(description="number of candidates")] = 1
    stop: fields.StopText | fields.StopTexts | None = None
    truncate_before_pattern: Annotated[list[fields.Pattern] | None, Field(max_length=32)] = None
    language: Annotated[str | None, Field(max_length=100)] = None
    path: fields.Path | None = None
    session: Annotated[fields.Session | None, Field(description="keeps a caller's cache; the newest request wins")] = (
        None
    )
    user: fields.Session | None = None
    seed: fields.Seed | None = None
    stream: bool = False
    alternatives: Annotated[int, Field(ge=0, le=20, description="with `stream`: alternatives for each token")] = 0

    @model_validator(mode="after")
    def _some_text(self) -> NativeRequest:
        if (self.data is None) == (self.parts is None):
            raise ValueError("send the code before the cursor as 'data', or several 'parts'")
        return self

    def request(self, caller: str) -> Request:
        """The engine's request."""
        patterns = self.truncate_before_pattern
        texts = self.parts or (self.data, self.suffix)
        return Request(
            parts_of(*texts),
            path=path_for(self.path, self.language),
            stop=Stop(
                self.max_tokens,
                strings=strings_of(self.stop),
                truncate_before=None if patterns is None else tuple(patterns),
            ),
            sampling=Sampling(self.temperature, self.top_p, fields.seed(self.seed)),
            candidates=self.n,
            distinct=False,
            document_id=session_key(self.session, self.user, self.path),
            caller=self.session or self.user or caller,
            top_logprobs=self.alternatives if self.stream else None,
        )


class NativeAnswer(Body):
    """`text` is the code with the completion inserted. `fills` has a text for each hole of each candidate."""

    completion: str
    text: str
    completions: list[str]
    fills: list[list[str]]
    model: str
    finish_reason: str
    truncated: bool
    note: str | None = None
    usage: dict[str, int]
    timings: dict[str, float]


_REFUSALS = responses(400, 409, 413, 422, 503)


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(tags=["Lacuna"])

    @routes.post("/", response_model=NativeAnswer, openapi_extra=fields.schema(NativeRequest), responses=_REFUSALS)
    async def complete(http: HttpRequest) -> Response:
        """Completes code. With `Accept: text/plain` the answer is plain text: the code with the completion inserted."""
        body = await _read_body(http)
        request = body.request(caller_of(http))
        if body.stream:
            return await streams.events(gateway, request, http, lambda item: _chunks(item, request))
        answer = answer_of(await gateway.answer(request, http), request)
        if _prefers_text(http):
            return PlainTextResponse(answer["text"])
        return JSONResponse(answer)

    async def _read_body(http: HttpRequest) -> NativeRequest:
        body = await fields.body(http, NativeRequest)
        gateway.require_language(body.language or "", body.path or "")
        return body

    form = fields.schema(NativeRequest, "application/x-www-form-urlencoded")

    @routes.put("/", response_model=str, openapi_extra=form, responses=_REFUSALS)
    async def complete_form(http: HttpRequest) -> Response:
        """Completes code sent as a form. The answer is the code with the completion inserted, as a JSON string."""
        request = (await _read_body(http)).request(caller_of(http))
        return JSONResponse(answer_of(await gateway.answer(request, http), request)["text"])

    return routes


def answer_of(result: CompletionResult, request: Request) -> dict[str, Any]:
    """The answer as JSON."""
    fills = [[fill.text for fill in candidate.fills] for candidate in result.candidates]
    first, metrics = result.candidates[0], result.metrics
    answer = {
        "completion": fills[0][0],
        "text": _filled_in(request.parts, fills[0]),
        "completions": [texts[0] for texts in fills],
        "fills": fills,
        "model": result.model,
        "finish_reason": first.fills[-1].reason.value,
        "truncated": not metrics.whole,
        "usage": {
            "prompt_tokens": metrics.prompt_tokens,
            "reused_tokens": metrics.reused_tokens,
            "completion_tokens": metrics.generated_tokens,
            "forward_passes": metrics.forward_passes,
        },
        "timings": {
            "queued_s": max(0.0, metrics.queued_s),
            "first_token_s": metrics.first_token_s,
            "total_s": metrics.total_s,
        },
    }
    return {**answer, "note": text} if (text := note(metrics)) else answer


def _filled_in(parts: tuple[str, ...], fills: list[str]) -> str:
    """The text with the fills in its holes."""
    text = parts[0]
    for number, fill in enumerate(fills):
        text += fill + (parts[number + 1] if number + 1 < len(parts) else "")
    return text


def _chunks(item: StreamEvent | CompletionResult, request: Request) -> Iterator[dict[str, Any]]:
    if isinstance(item, CompletionResult):
        yield {"done": True, **answer_of(item, request)}
        return
    token = item.token
    yield {
        "candidate": item.candidate,
        "hole": item.hole,
        "text": token.text,
        "probability": math.exp(token.logprob),
        "alternatives": [{"text": text, "probability": math.exp(p)} for text, p in token.top_logprobs],
    }


def _prefers_text(http: HttpRequest) -> bool:
    """Whether the caller accepts plain text and no JSON."""
    accepted = http.headers.get("accept", "")
    return "text/plain" in accepted and "json" not in accepted
