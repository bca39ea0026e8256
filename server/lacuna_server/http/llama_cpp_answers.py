"""Answers in the format of llama.cpp's server, whole or streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lacuna_inference import __version__
from lacuna_inference.api import CompletionResult, Fill, Phase, StopReason, StreamEvent
from lacuna_server.http.gateway import Gateway
from lacuna_server.http.llama_cpp_bodies import Generation
from lacuna_server.http.shared import was_cut

Json = dict[str, Any]


def chunks(
    body: Generation, model: str, prompt: str = ""
) -> Callable[[StreamEvent | CompletionResult], Iterator[Json]]:
    """A function from a stream event, or the final result, to the chunks to send."""

    def chunks_of(item: StreamEvent | CompletionResult) -> Iterator[Json]:
        if isinstance(item, StreamEvent):
            yield {"index": 0, "content": item.token.text, "tokens": [], "stop": False, "id_slot": -1}
        else:
            yield {**whole(item, body, model, prompt), "content": ""}

    return chunks_of


def whole(result: CompletionResult, body: Generation, model: str, prompt: str = "", index: int = 0) -> Json:
    """The answer to one prompt, the `index`th of its request."""
    fill, metrics = result.candidates[0].fills[0], result.metrics
    return {
        "index": index,
        "content": fill.text,
        "tokens": [],
        "id_slot": 0,
        "stop": True,
        "model": model,
        "tokens_predicted": fill.tokens,
        "tokens_evaluated": metrics.prompt_tokens,
        "tokens_cached": metrics.prompt_tokens + fill.tokens,
        "generation_settings": body.settings,
        "prompt": prompt,
        "truncated": not metrics.whole,
        "has_new_line": "\n" in fill.text,
        "stop_type": _stop_type(fill),
        "stopping_word": "",
        "timings": _timings(result, fill),
    }


def select_fields(answer: Json, names: tuple[str, ...]) -> Json:
    """The fields of `answer` that `names` lists, by those names; all fields without names. `a/b` is field b of a."""
    if not names:
        return answer
    selected = {}
    for name in names:
        value: Any = answer
        for key in name.split("/"):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            selected[name] = value
    return selected


def props(gateway: Gateway) -> Json:
    """The properties of the server and its model. It always reports one slot."""
    state = gateway.engine.state
    return {
        "default_generation_settings": {"params": Generation().settings, "n_ctx": state.facts.context},
        "total_slots": 1,
        "model_alias": gateway.model,
        "model_path": state.model,
        "model_ftype": state.facts.dtype,
        "modalities": {"vision": False, "video": False, "audio": False},
        "endpoint_slots": True,
        "endpoint_props": False,
        "endpoint_metrics": True,
        "chat_template": "",
        "bos_token": state.facts.begin,
        "eos_token": state.facts.end,
        "build_info": f"lacuna {__version__}",
        "is_sleeping": state.phase is Phase.ASLEEP,
    }


def slot(gateway: Gateway) -> Json:
    context = gateway.engine.state.facts.context
    return {"id": 0, "n_ctx": context, "speculative": False, "is_processing": gateway.busy}


def _timings(result: CompletionResult, fill: Fill) -> Json:
    metrics = result.metrics
    evaluated = max(0, metrics.prompt_tokens - metrics.reused_tokens)
    prompt_ms, predicted_ms = 1000 * metrics.first_token_s, 1000 * (metrics.total_s - metrics.first_token_s)
    return {
        "cache_n": metrics.prompt_tokens - evaluated,
        "prompt_n": evaluated,
        "prompt_ms": prompt_ms,
        "prompt_per_token_ms": prompt_ms / max(1, evaluated),
        "prompt_per_second": 1000 * evaluated / prompt_ms if prompt_ms else 0.0,
        "predicted_n": fill.tokens,
        "predicted_ms": predicted_ms,
        "predicted_per_token_ms": predicted_ms / max(1, fill.tokens),
        "predicted_per_second": 1000 * fill.tokens / predicted_ms if predicted_ms else 0.0,
    }


def _stop_type(fill: Fill) -> str:
    if was_cut(fill):
        return "limit"
    return "eos" if fill.reason in (StopReason.END_OF_HOLE, StopReason.OUTSIDE) else "word"
