"""What is sent to servers of several kinds, and where. No connections here; `answers.py` reads what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lacuna_inference.api import Raw, Request
from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt.families import Family, by_name
from lacuna_inference.remote import answers
from lacuna_inference.remote.answers import Written
from lacuna_inference.remote.prompt import ShownText, around, laid_out, most_tokens, shown

Json = dict[str, Any]
LACUNA_PATH = "/lacuna/answer"
MAX_STOP_STRINGS = 4
"""Of OpenAI's interface, and of text-generation-inference unless it is started with more."""
_UNNAMED = by_name("codegen")
"""How a model is prompted whose family nobody named: it goes on after the text."""
_OLLAMA_CONTEXT = 4096
"""Tokens that Ollama holds at least; another number has it load the model again."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a wire needs to know besides the request: the model's name, its prompt family if it is named, its context
    in tokens."""

    model: str
    named: Family | None
    context: int

    @property
    def family(self) -> Family:
        return self.named or _UNNAMED


@dataclass(frozen=True, slots=True)
class HttpQuestion:
    """A body and the path that it is posted to; `shown` is the text in it, where that is not the user's as it is."""

    path: str
    body: Json
    shown: ShownText = field(default_factory=lambda: ShownText("", ""))


@dataclass(frozen=True, slots=True)
class ServerKind:
    """How to ask a server.

    `ask` makes a question about one hole, with so many candidates; None for a server that takes our requests whole.
    `read` finds the texts in its answer, `models` the name of its model in what `ready` answers, or `listed`, and
    `languages` those that the model completes in what `ready` answers. With `several`, a question may be for more than
    one candidate. `endpoints` may stand in an address that was copied from elsewhere.
    """

    ready: str
    ask: Callable[[Request, Setting, int], HttpQuestion] | None
    read: Callable[[Any], list[Written]] = lambda _: []
    models: Callable[[Json], str] = lambda _: ""
    listed: str | None = None
    several: bool = False
    endpoints: tuple[str, ...] = ()
    languages: Callable[[Json], tuple[str, ...]] = lambda _: ()


def refusal(request: Request) -> str | None:
    """What of a request only a server of ours can do, or None."""
    wanted = {
        "prompts that are taken as they are": request.raw is not Raw.NO,
        "the tokens of an answer": request.top_logprobs is not None,
        "the tokens of a prompt": request.prompt_logprobs is not None or request.tokenize is not None,
        "biases and penalties": request.sampling.adjusts_logits,
    }
    return next((what for what, is_wanted in wanted.items() if is_wanted), None)


def stops(request: Request, setting: Setting, most: int | None = None) -> list[str]:
    """Where a server is to stop, what matters most first: of these it takes so many.

    The others are looked for in its answer, so that they cost time and change nothing.
    """
    line, ends = ["\n"] if request.stop.single_line else [], setting.family.ends
    wanted = dict.fromkeys([*line, *ends[:1], *request.stop.strings, *ends[1:]])
    return [string for string in wanted if string][:most]


def _sampling(request: Request) -> Json:
    sampling = request.sampling
    seed = {} if sampling.seed is None else {"seed": sampling.seed}
    return {"temperature": sampling.temperature, "top_p": sampling.top_p, **seed}


def _tail(request: Request) -> Json:
    """Told also where nothing is cut: servers have defaults of their own."""
    return {"top_k": request.sampling.top_k, "min_p": request.sampling.min_p}


def _text(request: Request, setting: Setting, begins: bool | None = None) -> tuple[str, ShownText]:
    """The prompt as one text, and what is shown in it."""
    texts = shown(request, setting.named, setting.context)
    return laid_out(texts, request, setting.family, begins), texts


def _openai(request: Request, setting: Setting, candidates: int) -> HttpQuestion:
    prompt, texts = (list(request.ids), ShownText("", "")) if request.ids is not None else _text(request, setting)
    body = {
        "model": setting.model,
        "prompt": prompt,
        "max_tokens": most_tokens(request, setting.context),
        "n": candidates,
        "stop": stops(request, setting, MAX_STOP_STRINGS),
        **{name: value for name, value in _tail(request).items() if value},  # not of OpenAI's interface
        **_sampling(request),
    }
    return HttpQuestion("/v1/completions", body, texts)


def _llama_cpp(request: Request, setting: Setting, _: int) -> HttpQuestion:
    """`/infill` takes what is before and behind the hole as it is, but reads sentinels in `prompt`: that is empty."""
    body = {
        **({"model": setting.model} if setting.model else {}),
        "n_predict": most_tokens(request, setting.context),
        "n_indent": request.stop.dedent_below or 0,
        "t_max_predict_ms": 0 if request.deadline_s is None else max(1, round(1000 * request.deadline_s)),
        "stop": stops(request, setting),
        "cache_prompt": True,
        **_tail(request),
        **_sampling(request),
    }
    if request.ids is not None:
        return HttpQuestion("/completion", {"prompt": list(request.ids), **body})
    if len(request.parts) == 1:
        prompt, texts = _text(request, setting, begins=True)
        return HttpQuestion("/completion", {"prompt": prompt, **body}, texts)
    before, after = around(request, setting.context)
    return HttpQuestion("/infill", {"input_prefix": before, "prompt": "", "input_suffix": after, **body})


def _ollama(request: Request, setting: Setting, _: int) -> HttpQuestion:
    """A prompt of ours, unless its family is not known; then the model's template has to have a place for the suffix.

    Without a suffix Ollama would take what is before the cursor for a message of a chat.
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
        "num_predict": most_tokens(request, setting.context),
        "stop": stops(request, setting),
        "repeat_penalty": 1.0,
        **_tail(request),
        **({"num_ctx": setting.context} if setting.context > _OLLAMA_CONTEXT else {}),
        **_sampling(request),
    }
    return HttpQuestion("/api/generate", {"model": setting.model, **prompt, "stream": False, "options": options}, texts)


def _tgi(request: Request, setting: Setting, _: int) -> HttpQuestion:
    _no_ids(request, "text-generation-inference")
    sampling = request.sampling
    parameters: Json = {
        "max_new_tokens": max(1, most_tokens(request, setting.context)),
        "stop": stops(request, setting, MAX_STOP_STRINGS),
        "return_full_text": False,
        "details": True,
    }
    if sampling.temperature > 0:  # it refuses a temperature of 0 and a top_p of 1
        parameters |= {"do_sample": True, "temperature": sampling.temperature}
        parameters |= {"top_p": sampling.top_p} if sampling.top_p < 1 else {}
        parameters |= {"top_k": sampling.top_k} if sampling.top_k else {}
        parameters |= {} if sampling.seed is None else {"seed": sampling.seed}
    prompt, texts = _text(request, setting)
    return HttpQuestion("/generate", {"inputs": prompt, "parameters": parameters}, texts)


def _tabby(request: Request, setting: Setting, _: int) -> HttpQuestion:
    _no_ids(request, "Tabby")
    texts = shown(request, None, setting.context)
    segments = {"prefix": texts.before, "suffix": texts.after, **({"filepath": request.path} if request.path else {})}
    seed = {} if request.sampling.seed is None else {"seed": request.sampling.seed}
    body = {"segments": segments, "temperature": request.sampling.temperature, **seed}
    return HttpQuestion("/v1/completions", body, texts)


def _no_ids(request: Request, server: str) -> None:
    if request.ids is not None:
        raise BadRequest(f"{server} takes no token ids for a prompt.", "Send the text.")


def _first_model(answer: Json) -> str:
    """The first of the models that complete text: Ollama lists those for embeddings among them."""
    listed = answer.get("data") or answer.get("models") or []
    names = [str(model.get("id") or model.get("name") or "") for model in listed if not _embeds(model)]
    return names[0] if names else ""


def _embeds(model: Json) -> bool:
    able = model.get("capabilities") or ["completion"]
    return "bert" in str((model.get("details") or {}).get("family")) or "completion" not in able


def _only_model(answer: Json) -> str:
    """The name of a server's only model, or of the only one that a router has loaded; else the user must name one."""
    listed = [model for model in answer.get("data") or [] if isinstance(model, dict)]
    names = [str(model.get("id") or "") for model in listed]
    loaded = [name for name, model in zip(names, listed, strict=True) if _loaded(model)]
    return next((found[0] for found in (names, loaded) if len(found) == 1), "")


def _loaded(model: Json) -> bool:
    status = model.get("status")
    return isinstance(status, dict) and status.get("value") == "loaded"


def _languages(told: Json) -> tuple[str, ...]:
    """Those that our server's model completes; none where it says nothing of them."""
    found = told.get("languages")
    return tuple(map(str, found)) if isinstance(found, list) else ()


SERVER_KINDS: dict[str, ServerKind] = {
    "lacuna": ServerKind(
        "/health/ready", None, models=lambda answer: str(answer.get("model", "")), languages=_languages,
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
"""The kinds of servers that are known."""
