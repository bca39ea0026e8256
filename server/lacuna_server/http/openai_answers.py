"""The engine's answers in OpenAI's words, at once or in pieces."""

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
    """What is said to one request, which may hold several prompts; of those only all answers together are said."""

    def __init__(self, asked: OpenAIRequest, model: str) -> None:
        self._asked = asked
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        self._said: dict[int, int] = {}
        """How long the text of each choice is that has been streamed."""

    def whole(self, answers: Sequence[CompletionResult]) -> Json:
        """The choices of each prompt, in order."""
        choices = [
            self._choice(number * self._asked.n + index, completions, candidate)
            for number, completions in enumerate(answers)
            for index, candidate in enumerate(best(completions.candidates, self._asked.n))
        ]
        return {**self._head, "choices": choices, "usage": usage(answers)}

    def chunks(self, piece: StreamEvent | CompletionResult) -> Iterator[Json]:
        """What is sent for a piece; at the end how each choice ended, and the usage if it was asked for."""
        if isinstance(piece, StreamEvent):
            index, said = piece.candidate, self._said.get(piece.candidate)
            text = (self._echoed if said is None else "") + piece.token.text
            logprobs = self._logprobs((piece.token,), said or 0)
            self._said[index] = (said or 0) + len(text)
            yield self._chunk(index, text, logprobs, None)
            return
        for index, candidate in enumerate(piece.candidates):
            yield self._chunk(index, "" if index in self._said else self._echoed, None, _finish(candidate.fills[0]))
        if self._asked.stream_options and self._asked.stream_options.include_usage:
            yield {**self._head, "choices": [], "usage": usage([piece])}

    @property
    def _echoed(self) -> str:
        """The one prompt, where it is text that is said again."""
        (prompt,) = self._asked.prompts
        return prompt if self._asked.echo and isinstance(prompt, str) else ""

    def _choice(self, index: int, completions: CompletionResult, candidate: Candidate) -> Json:
        fill, prompt = candidate.fills[0], ""
        if self._asked.echo:
            given = self._asked.prompts[index // self._asked.n]
            prompt = given if isinstance(given, str) else "".join(token.text for token in completions.prompt_logprobs)
        echoed = completions.prompt_logprobs if self._asked.echo else ()
        return {
            "index": index,
            "text": prompt + fill.text,
            "logprobs": self._logprobs((*echoed, *fill.token_logprobs), first_is_known=not echoed),
            "finish_reason": _finish(fill),
        }

    def _chunk(self, index: int, text: str, logprobs: Json | None, finish: str | None) -> Json:
        choice = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}
        return {**self._head, "choices": [choice]}

    def _logprobs(self, scored: Sequence[TokenLogprob], offset: int = 0, first_is_known: bool = True) -> Json | None:
        """Of a prompt nobody says how likely its first token was."""
        if self._asked.logprobs is None:
            return None
        offsets = []
        for token in scored:
            offsets.append(offset)
            offset += len(token.text)
        known = [first_is_known or number > 0 for number in range(len(scored))]
        told = list(zip(scored, known, strict=True))
        return {
            "tokens": [token.text for token in scored],
            "token_logprobs": [_finite(token.logprob) if known else None for token, known in told],
            "top_logprobs": [_top(token) if known else None for token, known in told],
            "text_offset": offsets,
        }


def best(candidates: Sequence[Candidate], count: int) -> Sequence[Candidate]:
    """As many of the candidates, the likeliest a token first; as they came where all are wanted."""
    if len(candidates) <= count:
        return candidates
    return sorted(candidates, key=lambda candidate: candidate.fills[0].mean_logprob, reverse=True)[:count]


def usage(answers: Sequence[CompletionResult]) -> Json:
    """Tokens that were read and written, of all answers together."""
    read = sum(answer.metrics.prompt_tokens for answer in answers)
    fills = [fill for answer in answers for candidate in answer.candidates for fill in candidate.fills]
    written = sum(fill.tokens for fill in fills)
    cached = sum(min(answer.metrics.reused_tokens, answer.metrics.prompt_tokens) for answer in answers)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _top(token: TokenLogprob) -> dict[str, float]:
    return {text: _finite(logprob) for text, logprob in token.top_logprobs}


def _finite(logprob: float) -> float:
    """JSON knows no infinity."""
    return max(logprob, -9999.0)


def _finish(fill: Fill) -> str:
    return "length" if was_cut(fill) else "stop"
