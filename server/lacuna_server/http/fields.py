"""Field types shared by several dialects, and the reading of request bodies, whatever their content type."""

from __future__ import annotations

import codecs
import json
import re
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qs

import regex
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.requests import Request as HttpRequest

_Model = TypeVar("_Model", bound=BaseModel)

MAX_TEXT_CODE_POINTS = 4_000_000
"""Limit for one text. The body's bytes are limited separately."""


class Malformed(Exception):
    """The body does not match the endpoint's schema. The message is a sentence that says how."""


class Body(BaseModel):
    """A request body. Unknown fields are ignored, as in the original servers of all dialects."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        """Drops fields that are null, as the original servers do."""
        return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


def _pattern(text: str) -> str:
    try:
        regex.compile(text)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


def _not_below_0(number: float) -> float:
    return max(number, 0)


Text = Annotated[str, Field(max_length=MAX_TEXT_CODE_POINTS)]
Tokens = Annotated[int, Field(ge=0, le=100_000)]
Temperature = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
ColdTemperature = Annotated[
    float, Field(ge=-100, le=10, allow_inf_nan=False, description="0 and less is greedy"), AfterValidator(_not_below_0)
]
TopP = Annotated[float, Field(ge=0, le=1, description="0 is greedy")]
TopK = Annotated[int, Field(ge=-1, le=2**31 - 1, description="0 and -1: no limit"), AfterValidator(_not_below_0)]
MinP = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-10, le=10)]
Count = Annotated[int, Field(ge=1, le=16)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
StopText = Annotated[str, Field(max_length=1000)]
StopTexts = Annotated[tuple[StopText, ...], Field(max_length=32)]
Pattern = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_pattern)]
Path = Annotated[str, Field(max_length=4000)]
Session = Annotated[str, Field(max_length=500)]


async def body(http: HttpRequest, model: type[_Model]) -> _Model:
    """The request's body as a `model`, read as JSON whatever its content type, or as a form. Raises Malformed."""
    data = (await http.body()).removeprefix(codecs.BOM_UTF8)
    media_type = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/x-www-form-urlencoded" and data[:1] not in (b"{", b"["):
        return _validated(_form(data, model), model)
    try:
        return _validated(json.loads(data.decode("utf-8"), parse_constant=_reject_constant), model)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Malformed(f"The body is not JSON in UTF-8: {error}.") from None


def schema(model: type[BaseModel], media_type: str = "application/json") -> dict[str, Any]:
    """The OpenAPI description of a body that `body` reads."""
    return {
        "requestBody": {"required": True, "content": {media_type: {"schema": model.model_json_schema()}}},
    }


def seed(number: int | None) -> int | None:
    """A seed for the engine, which takes no negative ones."""
    return None if number is None else number % 2**63


def _form(data: bytes, model: type[BaseModel]) -> dict[str, str | list[str]]:
    """The fields of a form. Those that may be repeated are lists."""
    try:
        given = parse_qs(data.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise Malformed(f"The body is not a form in UTF-8: {error}.") from None
    repeatable = {name for name, field in model.model_fields.items() if re.search(r"list|tuple", str(field.annotation))}
    return {name: values if name in repeatable else values[-1] for name, values in given.items()}


def _validated(given: Any, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise Malformed(f"{field + ': ' if field else ''}{first['msg']}.") from None


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
