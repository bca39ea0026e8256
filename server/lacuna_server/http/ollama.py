"""The generate endpoint of Ollama's API, with its `suffix`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from lacuna_inference.api import CompletionResult, Raw, Request, Sampling, Stop, StreamEvent, TokenizeOptions
from lacuna_inference.errors import BadRequest
from lacuna_server.http import fields, ollama_models, streams
from lacuna_server.http.fields import Body
from lacuna_server.http.gateway import Gateway
from lacuna_server.http.shared import caller_of, parts_of, responses, session_key, strings_of, was_cut

DEFAULT_MAX_TOKENS = 128
_UNLOAD = frozenset({0, "0", "0s", "0m", "0h", "0ms"})
"""Values of `keep_alive` that unload a model."""


class Options(Body):
    num_predict: Annotated[int, Field(ge=-2, le=100_000, description=f"-1 and -2: {DEFAULT_MAX_TOKENS}")] = (
        DEFAULT_MAX_TOKENS
    )
    temperature: fields.ColdTemperature = 0.0
    top_p: fields.TopP = 1.0
    top_k: fields.TopK = 0
    min_p: fields.MinP = 0.0
    presence_penalty: fields.Penalty = 0.0
    frequency_penalty: fields.Penalty = 0.0
    seed: fields.Seed | None = None
    stop: fields.StopText | fields.StopTexts | None = None

    def sampling(self) -> Sampling:
        return Sampling(
            self.temperature,
            self.top_p,
            fields.seed(self.seed),
            top_k=self.top_k,
            min_p=self.min_p,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
        )


class GenerateRequest(Body):
    """As Ollama's. With `raw`, or with the model's sentinels and no `suffix`, the prompt is used unchanged.

    The default temperature is 0. Without any text the model is loaded and nothing is generated.
    """

    model: Annotated[str, Field(max_length=500)] = ""
    prompt: fields.Text = ""
    suffix: fields.Text = ""
    raw: bool = False
    stream: bool = True
    options: Options | None = None
    keep_alive: Annotated[
        int | float | str | None,
        Field(description="0 without text: answered as by Ollama, but nothing is unloaded"),
    ] = None
    images: Annotated[list[Any], Field(max_length=100)] = []  # noqa: RUF012
    session: fields.Session | None = None

    @property
    def idle(self) -> str | None:
        """What a request without text asks of the model: `load` or `unload`. None for a request with text."""
        if self.prompt or self.suffix:
            return None
        return "unload" if self.keep_alive in _UNLOAD else "load"

    def request(self, caller: str) -> Request:
        """The engine's request. Raises BadRequest for features that are not supported."""
        if self.images:
            raise BadRequest("This model does not take images.", "Omit 'images'.")
        if self.raw and self.suffix:
            raise BadRequest("A raw prompt has no suffix.", "Put the suffix into the prompt, or omit 'raw'.")
        options = self.options or Options()
        max_tokens = DEFAULT_MAX_TOKENS if options.num_predict < 0 else options.num_predict
        return Request(
            parts_of(self.prompt, self.suffix or None),
            stop=Stop(max_tokens, strings=strings_of(options.stop)),
            sampling=options.sampling(),
            document_id=session_key(self.session),
            caller=self.session or caller,
            raw=Raw.NO if self.suffix else Raw.YES if self.raw else Raw.SENTINELS,
        )


_REFUSALS = responses(400, 409, 413, 422, 503)


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(tags=["Ollama"])

    @routes.post("/api/generate", openapi_extra=fields.schema(GenerateRequest), responses=_REFUSALS)
    async def generate(http: HttpRequest) -> Response:
        """Continues `prompt`, or fills the hole between it and `suffix`. Streamed as JSON lines by default."""
        body = await fields.body(http, GenerateRequest)
        request, name = body.request(caller_of(http)), body.model or gateway.model
        if body.idle == "load":  # tokenizing an empty text waits for the model and loads it if it was unloaded
            await gateway.answer(Request(("",), caller=caller_of(http), tokenize=TokenizeOptions()), http)
        if body.idle is not None:
            return JSONResponse({**_head(name), "response": "", "done": True, "done_reason": body.idle})
        if body.stream:
            return await streams.lines(gateway, request, http, _chunks(name))
        result = await gateway.answer(request, http)
        return JSONResponse({**_end(result, name), "response": result.candidates[0].text})

    routes.include_router(ollama_models.router(gateway))
    return routes


def _chunks(name: str) -> Callable[[StreamEvent | CompletionResult], Iterator[dict[str, Any]]]:
    def chunks(item: StreamEvent | CompletionResult) -> Iterator[dict[str, Any]]:
        if isinstance(item, StreamEvent):
            yield {**_head(name), "response": item.token.text, "done": False}
        else:
            yield _end(item, name)

    return chunks


def _head(name: str) -> dict[str, Any]:
    return {"model": name, "created_at": datetime.now(UTC).isoformat()}


def _end(result: CompletionResult, name: str) -> dict[str, Any]:
    metrics, fill = result.metrics, result.candidates[0].fills[0]
    return {
        **_head(name),
        "response": "",
        "done": True,
        "done_reason": "length" if was_cut(fill) else "stop",
        "total_duration": _nanoseconds(metrics.total_s + metrics.queued_s),
        "load_duration": 0,
        "prompt_eval_count": metrics.prompt_tokens,
        "prompt_eval_duration": _nanoseconds(metrics.first_token_s),
        "eval_count": fill.tokens,
        "eval_duration": _nanoseconds(metrics.total_s - metrics.first_token_s),
    }


def _nanoseconds(seconds: float) -> int:
    return max(0, round(seconds * 1e9))
