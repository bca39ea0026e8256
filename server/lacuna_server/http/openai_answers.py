"""Answers in OpenAI's format, whole or streamed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from lacuna_inference.api import Candidate, CompletionResult, Fill, StreamEvent, TokenLogprob
from lacuna_server.http.openai_bodies import OpenAIRequest
from lacuna_server.http.shared import was_cut

Json = dict[str, Any]


class OpenAIAnswer:
    """The answer to one request body. A body with several prompts is answered whole, never streamed."""

    def __init__(self, body: OpenAIRequest, model: str) -> None:
        self._body = body
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        self._streamed: dict[int, int] = {}
        """The length of the text streamed so far, for each choice."""

    def whole(self, results: Sequence[CompletionResult]) -> Json:
        """The answer with the choices of all prompts, in order."""
        choices = [
            self._choice(number * self._body.n + index, result, candidate)
            for number, result in enumerate(results)
            for index, candidate in enumerate(best(result.candidates, self._body.n))
        ]
        return {**self._head, "choices": choices, "usage": usage(results)}

    def chunks(self, item: StreamEvent | CompletionResult) -> Iterator[Json]:
        """The chunks for a stream event, or for the final result: finish reasons, and the usage on request."""
        if isinstance(item, StreamEvent):
            index, streamed = item.candidate, self._streamed.get(item.candidate)
            text = (self._echo if streamed is None else "") + item.token.text
            logprobs = self._logprobs((item.token,), streamed or 0)
            self._streamed[index] = (streamed or 0) + len(text)
            yield self._chunk(index, text, logprobs, None)
            return
        for index, candidate in enumerate(item.candidates):
            echo = "" if index in self._streamed else self._echo
            yield self._chunk(index, echo, None, _finish_reason(candidate.fills[0]))
        if self._body.stream_options and self._body.stream_options.include_usage:
            yield {**self._head, "choices": [], "usage": usage([item])}

    @property
    def _echo(self) -> str:
        """The text of the only prompt if it is to be echoed, else empty."""
        (prompt,) = self._body.prompts
        return prompt if self._body.echo and isinstance(prompt, str) else ""

    def _choice(self, index: int, result: CompletionResult, candidate: Candidate) -> Json:
        fill, echo = candidate.fills[0], ""
        if self._body.echo:
            prompt = self._body.prompts[index // self._body.n]
            echo = prompt if isinstance(prompt, str) else "".join(token.text for token in result.prompt_logprobs)
        prompt_tokens = result.prompt_logprobs if self._body.echo else ()
        return {
            "index": index,
            "text": echo + fill.text,
            "logprobs": self._logprobs((*prompt_tokens, *fill.token_logprobs), first_is_known=not prompt_tokens),
            "finish_reason": _finish_reason(fill),
        }

    def _chunk(self, index: int, text: str, logprobs: Json | None, finish: str | None) -> Json:
        choice = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}
        return {**self._head, "choices": [choice]}

    def _logprobs(self, tokens: Sequence[TokenLogprob], offset: int = 0, first_is_known: bool = True) -> Json | None:
        """The `logprobs` of a choice. The first token of a prompt has no probability: pass `first_is_known` False."""
        if self._body.logprobs is None:
            return None
        offsets = []
        for token in tokens:
            offsets.append(offset)
            offset += len(token.text)
        with_known = [(token, first_is_known or number > 0) for number, token in enumerate(tokens)]
        return {
            "tokens": [token.text for token in tokens],
            "token_logprobs": [_finite(token.logprob) if known else None for token, known in with_known],
            "top_logprobs": [_top_logprobs(token) if known else None for token, known in with_known],
            "text_offset": offsets,
        }


def best(candidates: Sequence[Candidate], count: int) -> Sequence[Candidate]:
    """The `count` best candidates by mean log-probability. In their original order if there are not more."""
    if len(candidates) <= count:
        return candidates
    return sorted(candidates, key=lambda candidate: candidate.fills[0].mean_logprob, reverse=True)[:count]


def usage(results: Sequence[CompletionResult]) -> Json:
    """The token counts of all results together."""
    prompt_tokens = sum(result.metrics.prompt_tokens for result in results)
    fills = [fill for result in results for candidate in result.candidates for fill in candidate.fills]
    completion_tokens = sum(fill.tokens for fill in fills)
    cached_tokens = sum(min(result.metrics.reused_tokens, result.metrics.prompt_tokens) for result in results)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    }


def _top_logprobs(token: TokenLogprob) -> dict[str, float]:
    return {text: _finite(logprob) for text, logprob in token.top_logprobs}


def _finite(logprob: float) -> float:
    """`logprob`, at least -9999: JSON has no infinity."""
    return max(logprob, -9999.0)


def _finish_reason(fill: Fill) -> str:
    return "length" if was_cut(fill) else "stop"
