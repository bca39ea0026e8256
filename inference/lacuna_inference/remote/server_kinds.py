"""The HTTP requests for each kind of server. Opens no connections; `answers.py` parses the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lacuna_inference.api import ModelFacts, Raw, Request
from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt.families import Family, by_name
from lacuna_inference.remote import answers
from lacuna_inference.remote.answers import GeneratedText
from lacuna_inference.remote.prompt import ShownText, around, laid_out, max_answer_tokens, shown

Json = dict[str, Any]
LACUNA_PATH = "/lacuna/answer"
MAX_STOP_STRINGS = 4
"""Limit of OpenAI's API, and of text-generation-inference unless it is started with more."""
_DEFAULT_FAMILY = by_name("codegen")
"""The family of a model without a named one: it is prompted with the text before the hole."""
_OLLAMA_CONTEXT = 4096
"""Ollama's least context in tokens; another value makes it load the model again."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The settings of a server's model: its name, its prompt family if the user named one, its context in tokens."""

    model: str
    named: Family | None
    context: int

    @property
    def family(self) -> Family:
        return self.named or _DEFAULT_FAMILY


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A body and the path that it is posted to; `shown` is the text in it if sentinels may have been escaped."""

    path: str
    body: Json
    shown: ShownText = field(default_factory=lambda: ShownText("", ""))


@dataclass(frozen=True, slots=True)
class ServerKind:
    """The API of a kind of server.

    `build` makes an HTTP request for one hole and a number of candidates; None for another Lacuna, which takes whole
    requests. `read` extracts the texts from an answer. `models` extracts the model's name from the answer of the path
    `listed`, or of `ready`; `facts` extracts what is known of the model from the answer of `ready`.
    With `several`, a request may be for more than one candidate. `endpoints` are paths that users may have copied into
    the address.
    """

    ready: str
    build: Callable[[Request, Setting, int], HttpRequest] | None
    read: Callable[[Any], list[GeneratedText]] = lambda _: []
    models: Callable[[Json], str] = lambda _: ""
    listed: str | None = None
    several: bool = False
    endpoints: tuple[str, ...] = ()
    facts: Callable[[Json], ModelFacts] = lambda _: ModelFacts()


def unsupported_feature(request: Request) -> str | None:
    """The feature of a request that only another Lacuna supports, or None."""
    features = {
        "raw prompts": request.raw is not Raw.NO,
        "logprobs": request.top_logprobs is not None,
        "prompt logprobs and tokenization": request.prompt_logprobs is not None or request.tokenize is not None,
        "logit biases and penalties": request.sampling.adjusts_logits,
    }
    return next((feature for feature, is_used in features.items() if is_used), None)


def stops(request: Request, setting: Setting, limit: int | None = None) -> list[str]:
    """The stop strings for a server, the most important first, `limit` of them at most.

    The others are searched in its answer, so leaving them out costs time but does not change the result.
    """
    line, ends = ["\n"] if request.stop.single_line else [], setting.family.ends
    strings = dict.fromkeys([*line, *ends[:1], *request.stop.strings, *ends[1:]])
    return [string for string in strings if string][:limit]


def _sampling(request: Request) -> Json:
    sampling = request.sampling
    seed = {} if sampling.seed is None else {"seed": sampling.seed}
    return {"temperature": sampling.temperature, "top_p": sampling.top_p, **seed}


def _truncation(request: Request) -> Json:
    """Sent even when it truncates nothing: servers have defaults of their own."""
    return {"top_k": request.sampling.top_k, "min_p": request.sampling.min_p}


def _text(request: Request, setting: Setting, begins: bool | None = None) -> tuple[str, ShownText]:
    """The prompt as one text, and the user's text in it."""
    texts = shown(request, setting.named, setting.context)
    return laid_out(texts, request, setting.family, begins), texts


def _openai(request: Request, setting: Setting, candidates: int) -> HttpRequest:
    prompt, texts = (list(request.ids), ShownText("", "")) if request.ids is not None else _text(request, setting)
    body = {
        "model": setting.model,
        "prompt": prompt,
        "max_tokens": max_answer_tokens(request, setting.context),
        "n": candidates,
        "stop": stops(request, setting, MAX_STOP_STRINGS),
        **{name: value for name, value in _truncation(request).items() if value},  # not in OpenAI's API
        **_sampling(request),
    }
    return HttpRequest("/v1/completions", body, texts)


def _llama_cpp(request: Request, setting: Setting, _: int) -> HttpRequest:
    """`/infill` takes the text around the hole literally, but reads sentinels in `prompt`, so that is empty."""
    body = {
        **({"model": setting.model} if setting.model else {}),
        "n_predict": max_answer_tokens(request, setting.context),
        "n_indent": request.stop.dedent_below or 0,
        "t_max_predict_ms": 0 if request.deadline_s is None else max(1, round(1000 * request.deadline_s)),
        "stop": stops(request, setting),
        "cache_prompt": True,
        **_truncation(request),
        **_sampling(request),
    }
    if request.ids is not None:
        return HttpRequest("/completion", {"prompt": list(request.ids), **body})
    if len(request.parts) == 1:
        prompt, texts = _text(request, setting, begins=True)
        return HttpRequest("/completion", {"prompt": prompt, **body}, texts)
    before, after = around(request, setting.context)
    return HttpRequest("/infill", {"input_prefix": before, "prompt": "", "input_suffix": after, **body})


def _ollama(request: Request, setting: Setting, _: int) -> HttpRequest:
    """A prompt built here, unless its family is unknown; then the model's template must support a suffix.

    Without a suffix, Ollama would read the text before the cursor as a chat message.
    """
    _no_ids(request, "Ollama")
    if not setting.model:
        raise BadRequest("The server has no model that completes text.", "Fetch one there, or name one with --model.")
    if setting.named is None and any(request.parts[1:]):
        texts = shown(request, None, setting.context)
        prompt: Json = {"prompt": texts.before, "suffix": texts.after}
    else:
        text, texts = _text(request, setting, begins=True)
        prompt = {"prompt": text, "raw": True}
    options = {
        "num_predict": max_answer_tokens(request, setting.context),
        "stop": stops(request, setting),
        "repeat_penalty": 1.0,
        **_truncation(request),
        **({"num_ctx": setting.context} if setting.context > _OLLAMA_CONTEXT else {}),
        **_sampling(request),
    }
    return HttpRequest("/api/generate", {"model": setting.model, **prompt, "stream": False, "options": options}, texts)


def _tgi(request: Request, setting: Setting, _: int) -> HttpRequest:
    _no_ids(request, "text-generation-inference")
    sampling = request.sampling
    parameters: Json = {
        "max_new_tokens": max(1, max_answer_tokens(request, setting.context)),
        "stop": stops(request, setting, MAX_STOP_STRINGS),
        "return_full_text": False,
        "details": True,
    }
    if sampling.temperature > 0:  # the server refuses a temperature of 0 and a top_p of 1
        parameters |= {"do_sample": True, "temperature": sampling.temperature}
        parameters |= {"top_p": sampling.top_p} if sampling.top_p < 1 else {}
        parameters |= {"top_k": sampling.top_k} if sampling.top_k else {}
        parameters |= {} if sampling.seed is None else {"seed": sampling.seed}
    prompt, texts = _text(request, setting)
    return HttpRequest("/generate", {"inputs": prompt, "parameters": parameters}, texts)


def _tabby(request: Request, setting: Setting, _: int) -> HttpRequest:
    _no_ids(request, "Tabby")
    texts = shown(request, None, setting.context)
    segments = {"prefix": texts.before, "suffix": texts.after, **({"filepath": request.path} if request.path else {})}
    seed = {} if request.sampling.seed is None else {"seed": request.sampling.seed}
    body = {"segments": segments, "temperature": request.sampling.temperature, **seed}
    return HttpRequest("/v1/completions", body, texts)


def _no_ids(request: Request, server: str) -> None:
    if request.ids is not None:
        raise BadRequest(f"{server} does not take token ids as a prompt.", "Send the text.")


def _first_model(answer: Json) -> str:
    """The first model that completes text: Ollama also lists embedding models."""
    listed = answer.get("data") or answer.get("models") or []
    names = [str(model.get("id") or model.get("name") or "") for model in listed if not _embeds(model)]
    return names[0] if names else ""


def _embeds(model: Json) -> bool:
    capabilities = model.get("capabilities") or ["completion"]
    return "bert" in str((model.get("details") or {}).get("family")) or "completion" not in capabilities


def _only_model(answer: Json) -> str:
    """The name of a server's only model, or of the only one that a router has loaded; otherwise the user names one."""
    listed = [model for model in answer.get("data") or [] if isinstance(model, dict)]
    names = [str(model.get("id") or "") for model in listed]
    loaded = [name for name, model in zip(names, listed, strict=True) if _loaded(model)]
    return next((models[0] for models in (names, loaded) if len(models) == 1), "")


def _loaded(model: Json) -> bool:
    status = model.get("status")
    return isinstance(status, dict) and status.get("value") == "loaded"


def _facts(status: Json) -> ModelFacts:
    """What another Lacuna reports of its model; an older one reports less."""
    languages, speed = status.get("languages"), status.get("reading_speed")
    return ModelFacts(
        languages=tuple(map(str, languages)) if isinstance(languages, list) else (),
        shows_files=status.get("shows_files") is True,
        mixes_files=status.get("mixes_files") is True,
        reading_speed=float(speed) if isinstance(speed, (int, float)) else 0.0,
    )


SERVER_KINDS: dict[str, ServerKind] = {
    "lacuna": ServerKind(
        "/health/ready", None, models=lambda answer: str(answer.get("model", "")), facts=_facts,
        endpoints=("/health", LACUNA_PATH),
    ),
    "openai": ServerKind(
        "/v1/models", _openai, answers.choices, _first_model, several=True, endpoints=("/v1/completions",)
    ),
    "llama.cpp": ServerKind(
        "/health", _llama_cpp, answers.llama_cpp, _only_model, "/v1/models", endpoints=("/infill", "/completion"),
    ),
    "ollama": ServerKind("/api/tags", _ollama, answers.ollama, _first_model, endpoints=("/api/generate", "/api")),
    "tgi": ServerKind("/health", _tgi, answers.tgi, endpoints=("/generate",)),
    "tabby": ServerKind(
        "/v1/health", _tabby, answers.choices, lambda answer: str(answer.get("model") or ""),
        endpoints=("/v1/completions",),
    ),
}  # fmt: skip
"""The known kinds of servers by name."""
