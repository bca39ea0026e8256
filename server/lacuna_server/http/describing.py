"""What the served model is, as the servers whose interfaces we have describe theirs."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from lacuna_inference.api import ModelFacts
from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt.families import Placeholder, by_name
from lacuna_server.http.gateway import Gateway

Json = dict[str, Any]
_QUANTISED = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "int8": "Q8_0", "int4": "Q4_0"}
_UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))
_STARTED = datetime.now(UTC)


def card(gateway: Gateway) -> Json:
    """As in the list of OpenAI's models, with vLLM's length of the context and llama.cpp's sizes."""
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
    """As Ollama lists a model."""
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
    """As Ollama tells them: every one of them is a text, or texts."""
    family = facts.architecture or "unknown"
    return {
        "parent_model": "",
        "format": "safetensors",
        "family": family,
        "families": [family],
        "parameter_size": shortened(facts.parameters),
        "quantization_level": _QUANTISED.get(facts.dtype, facts.dtype.upper() or "unknown"),
    }


def shortened(count: int) -> str:
    """A number of parameters for people to read: 6.4M."""
    unit, name = next(((unit, name) for unit, name in _UNITS if count >= unit), (1, ""))
    return f"{count / unit:.1f}{name}" if name else str(count)


def template(facts: ModelFacts) -> str:
    """The prompt as Ollama's templates are written; clients look for `.Suffix` in it."""
    try:
        infill = by_name(facts.family).infill
    except BadRequest:
        infill = None
    if infill is None:
        return "{{ .Prompt }}"
    places = {Placeholder.PREFIX: "{{ .Prompt }}", Placeholder.SUFFIX: "{{ .Suffix }}"}
    layout = "".join(piece if isinstance(piece, str) else places.get(piece, "") for piece in infill)
    return "{{- if .Suffix }}" + layout + "{{- else }}{{ .Prompt }}{{- end }}"


def infills(facts: ModelFacts) -> bool:
    """Whether the model fills holes."""
    return ".Suffix" in template(facts)
