"""Error responses in each dialect's format: the status and the JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse

from lacuna_inference.errors import BadRequest, LacunaError, NotEnoughMemory, RequestCancelled
from lacuna_server.http.fields import Malformed
from lacuna_server.http.gateway import Busy, CallerLeft, NotServed, TooLate

CLIENT_CLOSED = 499
RETRY_S = "1"
_LLAMA_CPP = frozenset({"/infill", "/completion", "/completions", "/props", "/slots", "/tokenize", "/detokenize"})
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NotServed, 404),
    (BadRequest, 400),
    (RequestCancelled, 409),
    (CallerLeft, CLIENT_CLOSED),
    (NotEnoughMemory, 503),
    (LacunaError, 503),
)


def status_of(error: Exception, path: str) -> int:
    """The HTTP status for an error."""
    if isinstance(error, ClientDisconnect):
        return CLIENT_CLOSED
    if isinstance(error, Malformed):
        return 422 if _dialect(path) is _native else 400
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def answer(error: Exception, path: str) -> JSONResponse:
    """The response for an error, in the dialect of the endpoint."""
    status = status_of(error, path)
    headers = {"Retry-After": RETRY_S} if isinstance(error, (Busy, TooLate)) else {}
    if isinstance(error, RequestCancelled):
        headers = {"X-Should-Retry": "false"}  # OpenAI's client would retry, and replace the newer request
    return JSONResponse(content(str(error), status, path), status, headers)


def content(message: str, status: int, path: str) -> dict[str, Any]:
    """The JSON of an error as the endpoint's clients expect it."""
    return _dialect(path)(message, status)


async def handle(http: HttpRequest, error: Exception) -> JSONResponse:
    return answer(error, http.url.path)


def _native(message: str, _: int) -> dict[str, Any]:
    """The native form, and Ollama's (https://docs.ollama.com/api/errors)."""
    return {"error": message}


def _openai(message: str, status: int) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _llama_cpp(message: str, status: int) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "unavailable_error"
    return {"error": {"code": status, "message": message, "type": kind}}


def _dialect(path: str) -> Callable[[str, int], dict[str, Any]]:
    if path.startswith("/v1/"):
        return _openai
    return _llama_cpp if path in _LLAMA_CPP else _native  # of /api/, too: Ollama's errors have the native form
