"""The completions of OpenAI's interface, with a `suffix` that is really filled before."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from lacuna_inference.api import Completions, Fill, Piece, Request, Sampling, Scored, Stop
from lacuna_inference.errors import BadRequest
from lacuna_server.core.languages import path_for
from lacuna_server.http import fields, streams
from lacuna_server.http.fields import Body
from lacuna_server.http.gateway import Gateway, NotServed
from lacuna_server.http.shared import (
    caller_of,
    parts_of,
    responses,
    session_key,
    strings_of,
    was_cut,
)

_TokenIds = Annotated[list[Annotated[int, Field(ge=0, le=2**31)]], Field(min_length=1, max_length=200_000)]


class StreamOptions(Body):
    include_usage: bool = False


class CompletionRequest(Body):
    """As OpenAI's; `session`, `path` and `language` are ours. The temperature is 0 unless it is given."""

    model: Annotated[str, Field(max_length=500)] = ""
    prompt: fields.Text | Annotated[list[fields.Text], Field(min_length=1, max_length=1)] | _TokenIds = ""
    suffix: fields.Text | None = None
    max_tokens: fields.Tokens | None = 64
    temperature: fields.Temperature | None = 0.0
    top_p: fields.TopP | None = 1.0
    n: fields.Count | None = 1
    echo: bool | None = False
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    stop: fields.StopText | fields.StopTexts | None = None
    seed: fields.Seed | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    user: fields.Session | None = None
    session: fields.Session | None = None
    path: fields.Path | None = None
    language: Annotated[str | None, Field(max_length=100)] = None

    @property
    def text(self) -> str | None:
        """The prompt, if it is a text."""
        if isinstance(self.prompt, str):
            return self.prompt
        first = self.prompt[0]
        return first if isinstance(first, str) else None

    def request(self, caller: str) -> Request:
        text = self.text
        ids = None if text is not None else tuple(token for token in self.prompt if isinstance(token, int))
        if ids is not None and self.suffix is not None:
            raise BadRequest("A prompt of token ids has no suffix.", "Send text, or ids with the sentinels in them.")
        if self.echo and (text is None or self.logprobs is not None):
            raise BadRequest("'echo' goes with a text and without 'logprobs'.", "Leave one of them out.")
        return Request(
            parts_of(text or "", self.suffix),
            path=path_for(self.path, self.language),
            stop=Stop(64 if self.max_tokens is None else self.max_tokens, strings=strings_of(self.stop)),
            sampling=Sampling(self.temperature or 0.0, self.top_p or 1.0, fields.seed(self.seed)),
            candidates=self.n or 1,
            distinct=False,
            key=session_key(self.session, self.user, self.path),
            caller=self.session or self.user or caller,
            ids=ids,
            alternatives=self.logprobs,
        )


_ANSWERS = responses(200, 400, 404, 409, 413, 503)


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["OpenAI"])

    @routes.post(
        "/completions",
        openapi_extra=fields.schema(CompletionRequest),
        responses=_ANSWERS,
    )
    async def completions(http: HttpRequest) -> Response:
        """Text, or what belongs between a prompt and a suffix."""
        asked = await fields.body(http, CompletionRequest)
        _require_known(asked.model, gateway)
        request = asked.request(caller_of(http))
        answer = _Answer(asked, gateway.engine.state.model)
        if asked.stream:
            return await streams.events(gateway, request, http, answer.chunks, "[DONE]")
        return JSONResponse(answer.whole(await gateway.answer(request, http)))

    @routes.get("/models")
    async def models() -> dict[str, Any]:
        """The model that is served."""
        return {"object": "list", "data": [_model(gateway)]}

    @routes.get("/models/{name:path}", responses=_ANSWERS)
    async def model(name: str) -> Response:
        """What is known of a model."""
        _require_known(name, gateway)
        return JSONResponse(_model(gateway))

    return routes


class _Answer:
    """Says the engine's answer as OpenAI's interface does."""

    def __init__(self, asked: CompletionRequest, model: str) -> None:
        self._asked = asked
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        self._said: dict[int, int] = {}
        """How long the text of each choice is that has been streamed."""

    def whole(self, completions: Completions) -> dict[str, Any]:
        prompt = self._asked.text or "" if self._asked.echo else ""
        choices = [
            {
                "index": index,
                "text": prompt + candidate.text,
                "logprobs": self._logprobs(candidate.fills[0].scored),
                "finish_reason": _finish(candidate.fills[0]),
            }
            for index, candidate in enumerate(completions.candidates)
        ]
        return {**self._head, "choices": choices, "usage": _usage(completions)}

    def chunks(self, piece: Piece | Completions) -> Iterator[dict[str, Any]]:
        """What is sent for a piece; at the end how each choice ended, and the usage if it was asked for."""
        if isinstance(piece, Piece):
            index, said = piece.candidate, self._said.get(piece.candidate)
            prompt = self._asked.text or "" if self._asked.echo and said is None else ""
            text = prompt + piece.token.text
            logprobs = self._logprobs((piece.token,), said or 0)
            self._said[index] = (said or 0) + len(text)
            yield self._chunk(index, text, logprobs, None)
            return
        for index, candidate in enumerate(piece.candidates):
            unsaid = self._asked.text or "" if self._asked.echo and index not in self._said else ""
            yield self._chunk(index, unsaid, None, _finish(candidate.fills[0]))
        if self._asked.stream_options and self._asked.stream_options.include_usage:
            yield {**self._head, "choices": [], "usage": _usage(piece)}

    def _chunk(self, index: int, text: str, logprobs: dict[str, Any] | None, finish: str | None) -> dict[str, Any]:
        choice = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}
        return {**self._head, "choices": [choice]}

    def _logprobs(self, scored: tuple[Scored, ...], offset: int = 0) -> dict[str, Any] | None:
        if self._asked.logprobs is None:
            return None
        offsets = []
        for token in scored:
            offsets.append(offset)
            offset += len(token.text)
        return {
            "tokens": [token.text for token in scored],
            "token_logprobs": [_finite(token.logprob) for token in scored],
            "top_logprobs": [{text: _finite(p) for text, p in token.alternatives} for token in scored],
            "text_offset": offsets,
        }


def _finite(logprob: float) -> float:
    """JSON knows no infinity."""
    return max(logprob, -9999.0)


def _finish(fill: Fill) -> str:
    return "length" if was_cut(fill) else "stop"


def _usage(completions: Completions) -> dict[str, Any]:
    counters = completions.counters
    written = sum(fill.tokens for candidate in completions.candidates for fill in candidate.fills)
    return {
        "prompt_tokens": counters.prompt_tokens,
        "completion_tokens": written,
        "total_tokens": counters.prompt_tokens + written,
        "prompt_tokens_details": {"cached_tokens": min(counters.reused_tokens, counters.prompt_tokens)},
    }


def _model(gateway: Gateway) -> dict[str, Any]:
    return {"id": gateway.engine.state.model, "object": "model", "created": 0, "owned_by": "lacuna"}


def _require_known(name: str, gateway: Gateway) -> None:
    served = gateway.engine.state.model
    if name and name not in (served, "default"):
        raise NotServed(f"The model {name!r} is not served here.", f"It is {served!r}.")
