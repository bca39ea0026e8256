"""Descriptions of the served model, in the formats of the servers whose APIs are implemented here."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from lacuna_inference.api import ModelFacts
from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt.families import Placeholder, by_name
from lacuna_server.http.gateway import Gateway

Json = dict[str, Any]
_QUANTIZATIONS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "int8": "Q8_0", "int4": "Q4_0"}
_UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))
_STARTED = datetime.now(UTC)


def card(gateway: Gateway) -> Json:
    """The model object of OpenAI's API, with vLLM's context length and llama.cpp's sizes."""
    facts = gateway.engine.state.facts
    return {
        "id": gateway.model,
        "object": "model",
        "created": int(_STARTED.timestamp()),
        "owned_by": "lacuna",
        "max_model_len": facts.context,
        "meta": {
            "n_vocab": facts.vocabulary,
            "n_ctx": facts.context,
            "n_ctx_train": facts.context,
            "n_params": facts.parameters,
            "size": facts.weight_bytes,
        },
    }


def listed(gateway: Gateway) -> Json:
    """The model as Ollama lists it."""
    facts = gateway.engine.state.facts
    return {
        "name": gateway.model,
        "model": gateway.model,
        "modified_at": _STARTED.isoformat(),
        "size": facts.weight_bytes,
        "digest": hashlib.sha256(gateway.model.encode()).hexdigest(),
        "details": details(facts),
    }


def details(facts: ModelFacts) -> Json:
    """The model's details in Ollama's format: strings and lists of strings."""
    family = facts.architecture or "unknown"
    return {
        "parent_model": "",
        "format": "safetensors",
        "family": family,
        "families": [family],
        "parameter_size": format_count(facts.parameters),
        "quantization_level": _QUANTIZATIONS.get(facts.dtype, facts.dtype.upper() or "unknown"),
    }


def format_count(count: int) -> str:
    """A number of parameters with a unit, such as 6.4M."""
    unit, name = next(((unit, name) for unit, name in _UNITS if count >= unit), (1, ""))
    return f"{count / unit:.1f}{name}" if name else str(count)


def template(facts: ModelFacts) -> str:
    """The prompt format as an Ollama template. Clients look for `.Suffix` in it."""
    try:
        infill = by_name(facts.family).infill
    except BadRequest:
        infill = None
    if infill is None:
        return "{{ .Prompt }}"
    variables = {Placeholder.PREFIX: "{{ .Prompt }}", Placeholder.SUFFIX: "{{ .Suffix }}"}
    layout = "".join(part if isinstance(part, str) else variables.get(part, "") for part in infill)
    return "{{- if .Suffix }}" + layout + "{{- else }}{{ .Prompt }}{{- end }}"


def infills(facts: ModelFacts) -> bool:
    """Whether the model is capable of infilling."""
    return ".Suffix" in template(facts)
