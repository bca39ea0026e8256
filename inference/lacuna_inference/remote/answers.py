"""What answers of servers mean. Everything in them is checked: what does not fit is told in one sentence.

No sentence quotes an answer, which may hold code.
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
"""Characters of a server's own words that are passed on."""
_REMEDIES = {
    "does not support insert": "Name its prompt family with --family.",
    "nfill is not supported": "Choose another model, or --engine-kind openai with its --family.",
}
"""What to do where a server says this."""


@dataclass(frozen=True, slots=True)
class Written:
    """A text that a server wrote; `cut` when it would have gone on, but for the limit of tokens."""

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


def choices(answer: Any) -> list[Written]:
    """Of OpenAI's completions, and Tabby's."""
    found = _checked(_Choices.model_validate, answer).choices
    return [Written(choice.text, choice.finish_reason != "stop") for choice in found]


def llama_cpp(answer: Any) -> list[Written]:
    found = _checked(_LlamaCpp.model_validate, answer)
    return [Written(found.content, found.stop_type not in ("eos", "word"))]


def ollama(answer: Any) -> list[Written]:
    found = _checked(_Ollama.model_validate, answer)
    if not found.done:
        raise EngineUnavailable("The server broke off its answer.", "It is asked again with the next key.")
    return [Written(found.response, found.done_reason != "stop")]


def tgi(answer: Any) -> list[Written]:
    found = _checked(_Tgi.model_validate, answer)
    ended = found.details is not None and found.details.finish_reason in ("eos_token", "stop_sequence")
    return [Written(found.generated_text, not ended)]


def whole(answer: Any, request: Request) -> CompletionResult:
    """The answer of a server of ours: candidates with a fill for each hole."""
    found = _checked(result_from_json, answer)
    holes = max(1, len(request.parts) - 1)
    written = request.tokenize is None
    if (written and not found.candidates) or any(len(candidate.fills) != holes for candidate in found.candidates):
        raise EngineUnavailable(
            "The server's answer is not understood: it has no text for a hole.", "Is it of another version?"
        )
    return found


def content(response: httpx.Response) -> Any:
    """The JSON of an answer that went well. Raises LacunaError for another one, also where its status is 200."""
    if response.status_code != httpx.codes.OK:
        raise failure(response)
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        raise EngineUnavailable("The server's answer is not understood: it is no JSON.", "Check engine_kind.") from None
    if isinstance(answer, dict) and answer.get("error"):
        raise EngineUnavailable(f"The server answers with an error: {_said(answer)}")
    return answer


def failure(response: httpx.Response) -> LacunaError:
    """What a status other than 200 means here."""
    message = _said(fields(response)) or response.reason_phrase
    remedy = next((remedy for words, remedy in _REMEDIES.items() if words in message), "")
    if response.status_code == httpx.codes.CONFLICT:
        return RequestCancelled(message)
    if response.status_code in (400, 413, 422):
        return BadRequest(f"The server refuses the request: {message}", remedy)
    return EngineUnavailable(f"The server answers {response.status_code}: {message}", remedy)


def fields(response: httpx.Response) -> dict[str, Any]:
    """The object that a response holds, empty where it holds none."""
    try:
        found = response.json()
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _said(answer: dict[str, Any]) -> str:
    """The server's own words: servers put them in different places."""
    error = answer.get("error") or answer.get("message") or answer.get("detail")
    words = error.get("message") if isinstance(error, dict) else error
    return " ".join(words.split())[:_MAX_MESSAGE_CODE_POINTS] if isinstance(words, str) else ""


def _checked(check: Callable[[Any], T], answer: Any) -> T:
    try:
        return check(answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "answer"
        message = f"The server's answer is not understood: `{where}`: {first['msg'][:1].lower()}{first['msg'][1:]}."
        raise EngineUnavailable(message, "Check engine_kind.") from None
