"""Requests and results as JSON, between a Lacuna language server and a Lacuna engine.

The JSON keys are those of the first release, even where fields have been renamed: a team may update its server and its
editors on different days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from lacuna_inference.api import CompletionResult, Request, StopReason

_REQUEST: TypeAdapter[Request] = TypeAdapter(Request)
_RESULT: TypeAdapter[CompletionResult] = TypeAdapter(CompletionResult)
_REQUEST_NAMES = {
    "document_id": "key",
    "related_files": "nearby",
    "prefetch_next": "looks_ahead",
    "relayout_on_pause": "settles",
    "is_prefetch": "ahead",
    "top_logprobs": "alternatives",
    "prompt_logprobs": "prompt_alternatives",
    "tokenize": "tokens",
}
_LOCAL = ("on_token", "may_be_narrow", "keeps_files")
_OUTSIDE = "outside"
"""Marks a fill whose reason is `StopReason.OUTSIDE`. Clients of the first release, which do not know it, read that the
model closed the hole."""
_RESULT_NAMES = {
    "metrics": "counters",
    "prompt_logprobs": "prompt",
    "token_logprobs": "scored",
    "top_logprobs": "alternatives",
}


def request_to_json(request: Request) -> dict[str, Any]:
    """A request as JSON, without what counts in this process only: a server has no idle time for one document."""
    values = {field.name: getattr(request, field.name) for field in fields(request) if field.name not in _LOCAL}
    nested = {name: None if values[name] is None else asdict(values[name]) for name in ("stop", "sampling", "tokenize")}
    files = {"context_files": [asdict(file) for file in request.context_files]}
    return {_REQUEST_NAMES.get(name, name): value for name, value in {**values, **nested, **files}.items()}


def name_on_wire(field: str) -> str:
    """What a field of `Request` is called in JSON."""
    return _REQUEST_NAMES.get(field, field)


def request_from_json(body: Any) -> Request:
    """Raises pydantic's ValidationError for anything but a request."""
    if isinstance(body, Mapping):  # the fields' present names mean nothing on the wire
        body = {key: value for key, value in body.items() if key not in _REQUEST_NAMES}
    renamed = _renamed(body, {old: new for new, old in _REQUEST_NAMES.items()})
    return _REQUEST.validate_json(to_json(renamed, inf_nan_mode="constants"))


def result_to_json(result: CompletionResult) -> dict[str, Any]:
    body: dict[str, Any] = _renamed(asdict(result), _RESULT_NAMES, deep=True)
    for fill in (fill for candidate in body["candidates"] for fill in candidate["fills"]):
        if fill["reason"] == StopReason.OUTSIDE:
            fill |= {"reason": StopReason.END_OF_HOLE, _OUTSIDE: True}
    return body


def result_from_json(body: Any) -> CompletionResult:
    """Raises pydantic's ValidationError for anything but a result."""
    names = {old: new for new, old in _RESULT_NAMES.items()}
    return _RESULT.validate_python(_with_outside(_renamed(body, names, deep=True)))


def _with_outside(value: Any) -> Any:
    """`value` with the reason of fills that are marked."""
    if isinstance(value, Mapping):
        marked = {key: _with_outside(inner) for key, inner in value.items() if key != _OUTSIDE}
        return marked | ({"reason": StopReason.OUTSIDE} if value.get(_OUTSIDE) is True else {})
    return [_with_outside(inner) for inner in value] if isinstance(value, list | tuple) else value


def _renamed(value: Any, names: Mapping[str, str], deep: bool = False) -> Any:
    """`value` with the keys of a mapping renamed; with `deep`, those of nested mappings, too."""
    if isinstance(value, Mapping):
        return {names.get(key, key): _renamed(inner, names, deep) if deep else inner for key, inner in value.items()}
    return [_renamed(inner, names, deep) for inner in value] if deep and isinstance(value, list | tuple) else value
