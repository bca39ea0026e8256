"""What is sent to servers of several kinds, and what their answers mean. No connections here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from pydantic import TypeAdapter

from lacuna_inference.api import Completion, Completions, Counters, Fill, Raw, Request, StopReason
from lacuna_inference.decode import stopping
from lacuna_inference.prompt.families import Family
from lacuna_inference.remote.prompt import around, as_text, most_tokens

Json = dict[str, Any]
LACUNA_PATH = "/lacuna/answer"
REQUEST: TypeAdapter[Request] = TypeAdapter(Request)
COMPLETIONS: TypeAdapter[Completions] = TypeAdapter(Completions)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a wire needs to know besides the request: the model's name, its prompt family, its context in tokens."""

    model: str
    family: Family
    context: int


@dataclass(frozen=True, slots=True)
class Wire:
    """How to ask a server. `models` finds the name of its model in what `ready` answers."""

    path: str
    ready: str
    body: Callable[[Request, Setting], Json]
    completions: Callable[[Json, Request, Setting], Completions]
    models: Callable[[Json], str] = lambda _: ""


def request_json(request: Request) -> Json:
    """A request as JSON, all but who listens to its pieces."""
    told = {field.name: getattr(request, field.name) for field in fields(request) if field.name != "tell"}
    tokens = None if request.tokens is None else asdict(request.tokens)
    return {**told, "stop": asdict(request.stop), "sampling": asdict(request.sampling), "tokens": tokens}


def refusal(request: Request) -> str | None:
    """What of a request only a server of ours can do, or None."""
    wanted = {
        "prompts that are taken as they are": request.raw is not Raw.NO,
        "the tokens of a prompt": request.prompt_alternatives is not None or request.tokens is not None,
        "biases and penalties": request.sampling.shifted,
    }
    return next((what for what, is_wanted in wanted.items() if is_wanted), None)


def completions_json(completions: Completions) -> Json:
    return asdict(completions)


def _texts(texts: list[str], request: Request, setting: Setting) -> Completions:
    """Completions of texts without anything more; our own rules end them."""
    candidates = dict.fromkeys(_ended(text, request, setting.family) for text in texts or [""])
    found = tuple(Completion((fill,)) for fill in candidates)
    return Completions(found, Counters(forward="remote"), setting.model)


def _ended(text: str, request: Request, family: Family) -> Fill:
    ends = [place for end in family.ends if (place := text.find(end)) >= 0]
    text, reason = (text[: min(ends)], StopReason.END_OF_HOLE) if ends else (text, StopReason.MAX_TOKENS)
    if (cut := stopping.text_stop(text, request.stop)) is not None:
        text, reason = text[: cut[0]], cut[1]
    if request.stop.truncate_before is not None:
        text = stopping.truncate_before(text, request.stop.truncate_before)
    return Fill(text, reason, 0, 0.0)


def _stops(request: Request, setting: Setting) -> list[str]:
    line = ["\n"] if request.stop.single_line else []
    return [*setting.family.ends, *request.stop.strings, *line]


def _sampling(request: Request) -> Json:
    sampling = request.sampling
    seed = {} if sampling.seed is None else {"seed": sampling.seed}
    return {"temperature": sampling.temperature, "top_p": sampling.top_p, **seed}


def _openai(request: Request, setting: Setting) -> Json:
    return {
        "model": setting.model,
        "prompt": list(request.ids) if request.ids is not None else as_text(request, setting.family, setting.context),
        "max_tokens": most_tokens(request, setting.context),
        "n": request.candidates,
        "stop": _stops(request, setting)[:4],
        **_sampling(request),
    }


def _llama_cpp(request: Request, setting: Setting) -> Json:
    before, after = around(request, setting.context)
    start = before.rfind("\n") + 1
    return {
        "input_prefix": before[:start],
        "prompt": before[start:],
        "input_suffix": after,
        "n_predict": most_tokens(request, setting.context),
        "n_indent": request.stop.dedent_below or 0,
        "t_max_predict_ms": 0 if request.deadline_s is None else max(1, round(1000 * request.deadline_s)),
        "stop": _stops(request, setting),
        "cache_prompt": True,
        **_sampling(request),
    }


def _ollama(request: Request, setting: Setting) -> Json:
    before, after = around(request, setting.context)
    options = {"num_predict": most_tokens(request, setting.context), "stop": _stops(request, setting)}
    options |= _sampling(request)
    return {
        "model": setting.model,
        "prompt": before,
        "suffix": after,
        "stream": False,
        "options": options,
    }


def _tgi(request: Request, setting: Setting) -> Json:
    sampling = request.sampling
    parameters: Json = {
        "max_new_tokens": max(1, most_tokens(request, setting.context)),
        "stop": _stops(request, setting),
        "return_full_text": False,
    }
    if sampling.temperature > 0:  # it refuses a temperature of 0 and a top_p of 1
        parameters |= {"do_sample": True, "temperature": sampling.temperature}
        parameters |= {"top_p": sampling.top_p} if sampling.top_p < 1 else {}
        parameters |= {} if sampling.seed is None else {"seed": sampling.seed}
    return {"inputs": as_text(request, setting.family, setting.context), "parameters": parameters}


def _tabby(request: Request, setting: Setting) -> Json:
    before, after = around(request, setting.context)
    segments = {"prefix": before, "suffix": after, **({"filepath": request.path} if request.path else {})}
    return {"segments": segments, "temperature": request.sampling.temperature}


def _choices(answer: Json) -> Iterator[str]:
    for choice in answer["choices"]:
        yield str(choice["text"])


def _first_model(answer: Json) -> str:
    listed = answer.get("data") or answer.get("models") or [{}]
    return str(listed[0].get("id") or listed[0].get("name") or "")


WIRES: dict[str, Wire] = {
    "lacuna": Wire(
        LACUNA_PATH, "/health/ready", lambda request, _: request_json(request),
        lambda answer, _, __: COMPLETIONS.validate_python(answer), lambda answer: str(answer.get("model", "")),
    ),
    "openai": Wire(
        "/v1/completions", "/v1/models", _openai, lambda a, r, s: _texts(list(_choices(a)), r, s), _first_model,
    ),
    "llama.cpp": Wire("/infill", "/health", _llama_cpp, lambda a, r, s: _texts([str(a["content"])], r, s)),
    "ollama": Wire(
        "/api/generate", "/api/tags", _ollama, lambda a, r, s: _texts([str(a["response"])], r, s), _first_model,
    ),
    "tgi": Wire("/generate", "/health", _tgi, lambda a, r, s: _texts([str(a["generated_text"])], r, s)),
    "tabby": Wire(
        "/v1/completions", "/v1/health", _tabby, lambda a, r, s: _texts(list(_choices(a)), r, s),
        lambda answer: str(answer.get("model") or ""),
    ),
}  # fmt: skip
"""The kinds of servers that are known."""
