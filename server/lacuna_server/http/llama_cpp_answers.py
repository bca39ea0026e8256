"""The engine's answers in the words of llama.cpp's server, at once or in pieces."""

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
    asked: Generation, model: str, prompt: str = ""
) -> Callable[[StreamEvent | CompletionResult], Iterator[Json]]:
    """What is sent for a piece, and at the end for all of it."""

    def said(piece: StreamEvent | CompletionResult) -> Iterator[Json]:
        if isinstance(piece, StreamEvent):
            yield {"index": 0, "content": piece.token.text, "tokens": [], "stop": False, "id_slot": -1}
        else:
            yield {**whole(piece, asked, model, prompt), "content": ""}

    return said


def whole(completions: CompletionResult, asked: Generation, model: str, prompt: str = "", index: int = 0) -> Json:
    fill, counters = completions.candidates[0].fills[0], completions.metrics
    return {
        "index": index,
        "content": fill.text,
        "tokens": [],
        "id_slot": 0,
        "stop": True,
        "model": model,
        "tokens_predicted": fill.tokens,
        "tokens_evaluated": counters.prompt_tokens,
        "tokens_cached": counters.prompt_tokens + fill.tokens,
        "generation_settings": asked.settings,
        "prompt": prompt,
        "truncated": not counters.whole,
        "has_new_line": "\n" in fill.text,
        "stop_type": _stop_type(fill),
        "stopping_word": "",
        "timings": _timings(completions, fill),
    }


def chosen(answer: Json, names: tuple[str, ...]) -> Json:
    """Only what is called for, under the names that it is called by; all of it when nothing is."""
    if not names:
        return answer
    found = {}
    for name in names:
        value: Any = answer
        for key in name.split("/"):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            found[name] = value
    return found


def props(gateway: Gateway) -> Json:
    """The server and its model. There are as many slots as are told of: one."""
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


def _timings(completions: CompletionResult, fill: Fill) -> Json:
    counters = completions.metrics
    read = max(0, counters.prompt_tokens - counters.reused_tokens)
    prompt_ms, predicted_ms = 1000 * counters.first_token_s, 1000 * (counters.total_s - counters.first_token_s)
    return {
        "cache_n": counters.prompt_tokens - read,
        "prompt_n": read,
        "prompt_ms": prompt_ms,
        "prompt_per_token_ms": prompt_ms / max(1, read),
        "prompt_per_second": 1000 * read / prompt_ms if prompt_ms else 0.0,
        "predicted_n": fill.tokens,
        "predicted_ms": predicted_ms,
        "predicted_per_token_ms": predicted_ms / max(1, fill.tokens),
        "predicted_per_second": 1000 * fill.tokens / predicted_ms if predicted_ms else 0.0,
    }


def _stop_type(fill: Fill) -> str:
    if was_cut(fill):
        return "limit"
    return "eos" if fill.reason is StopReason.END_OF_HOLE else "word"
