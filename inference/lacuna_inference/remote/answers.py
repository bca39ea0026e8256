"""Parses and validates the answers of servers. Invalid ones become an error of one sentence.

No error quotes an answer, which may contain code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from lacuna_inference.api import CompletionResult, Request
from lacuna_inference.errors import BadRequest, EngineUnavailable, LacunaError, RequestCancelled
from lacuna_inference.remote.json_form import result_from_json

T = TypeVar("T")
_MAX_MESSAGE_CODE_POINTS = 300
"""Code points of a server's own error message that are passed on."""
_REMEDIES = {
    "does not support insert": "Name its prompt family with --family.",
    "nfill is not supported": "Choose another model, or --engine-kind openai with its --family.",
}
"""Remedies by a part of the server's message."""


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """A text that a server generated; `cut` if it ended at a limit of tokens."""

    text: str
    cut: bool = True


class _Choice(BaseModel):
    text: str
    finish_reason: Any = None


class _Choices(BaseModel):
    choices: list[_Choice]


class _LlamaCpp(BaseModel):
    content: str
    stop_type: Any = None


class _Ollama(BaseModel):
    response: str
    done: bool = True
    done_reason: Any = None


class _Details(BaseModel):
    finish_reason: Any = None


class _Tgi(BaseModel):
    generated_text: str
    details: _Details | None = None


def choices(answer: Any) -> list[GeneratedText]:
    """The texts in an answer of OpenAI's completions API, or of Tabby."""
    parsed = _validated(_Choices.model_validate, answer)
    return [GeneratedText(choice.text, choice.finish_reason != "stop") for choice in parsed.choices]


def llama_cpp(answer: Any) -> list[GeneratedText]:
    parsed = _validated(_LlamaCpp.model_validate, answer)
    return [GeneratedText(parsed.content, parsed.stop_type not in ("eos", "word"))]


def ollama(answer: Any) -> list[GeneratedText]:
    parsed = _validated(_Ollama.model_validate, answer)
    if not parsed.done:
        raise EngineUnavailable("The server did not finish its answer.", "The next keystroke asks again.")
    return [GeneratedText(parsed.response, parsed.done_reason != "stop")]


def tgi(answer: Any) -> list[GeneratedText]:
    parsed = _validated(_Tgi.model_validate, answer)
    ended = parsed.details is not None and parsed.details.finish_reason in ("eos_token", "stop_sequence")
    return [GeneratedText(parsed.generated_text, not ended)]


def lacuna(answer: Any, request: Request) -> CompletionResult:
    """The answer of another Lacuna: candidates with a fill for each hole."""
    result = _validated(result_from_json, answer)
    holes = max(1, len(request.parts) - 1)
    expects_text = request.tokenize is None
    if (expects_text and not result.candidates) or any(len(one.fills) != holes for one in result.candidates):
        raise EngineUnavailable(
            "The server's answer is not understood: it has no text for a hole.", "Is it of another version?"
        )
    return result


def content(response: httpx.Response) -> Any:
    """The JSON of a successful answer. Raises LacunaError for an error, including one with status 200."""
    if response.status_code != httpx.codes.OK:
        raise failure(response)
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        raise EngineUnavailable(
            "The server's answer is not understood: it is not JSON.", "Check engine_kind."
        ) from None
    if isinstance(answer, dict) and answer.get("error"):
        raise EngineUnavailable(f"The server answers with an error: {_server_message(answer)}")
    return answer


def failure(response: httpx.Response) -> LacunaError:
    """The error for a response with a status other than 200."""
    message = _server_message(fields(response)) or response.reason_phrase
    remedy = next((remedy for words, remedy in _REMEDIES.items() if words in message), "")
    if response.status_code == httpx.codes.CONFLICT:
        return RequestCancelled(message)
    if response.status_code in (400, 413, 422):
        return BadRequest(f"The server refuses the request: {message}", remedy)
    return EngineUnavailable(f"The server answers {response.status_code}: {message}", remedy)


def fields(response: httpx.Response) -> dict[str, Any]:
    """The JSON object in a response; empty if there is none."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _server_message(answer: dict[str, Any]) -> str:
    """The server's own error message, which servers put under different keys."""
    error = answer.get("error") or answer.get("message") or answer.get("detail")
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(message.split())[:_MAX_MESSAGE_CODE_POINTS] if isinstance(message, str) else ""


def _validated(validate: Callable[[Any], T], answer: Any) -> T:
    try:
        return validate(answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        key = ".".join(map(str, first["loc"])) or "answer"
        message = f"The server's answer is not understood: `{key}`: {first['msg'][:1].lower()}{first['msg'][1:]}."
        raise EngineUnavailable(message, "Check engine_kind.") from None
