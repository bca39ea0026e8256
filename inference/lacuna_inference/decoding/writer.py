"""Writes the text of one hole after its prompt, one token at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from lacuna_inference.api import StopReason, StreamEvent
from lacuna_inference.cache.prefix_cache import PrefixCache
from lacuna_inference.decoding.hole import Hole
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.decoding.sampler import Sampler
from lacuna_inference.decoding.trace import Trace
from lacuna_inference.errors import RequestCancelled
from lacuna_inference.forward import Steps
from lacuna_inference.in_file.prompt_lookup import PromptLookup
from lacuna_inference.prompt.tokenizer import PromptTokenizer

Choose = Callable[[Tensor], tuple[int, float]]
"""Logits [vocabulary] -> the id of the next token and its log-probability in nats."""
Begin = Callable[..., tuple[Hole, Choose]]
"""Makes an empty hole, and what chooses its tokens."""


@dataclass(frozen=True, slots=True)
class HoleWriter:
    """Fills the holes of one prompt. `context` and `max_draft_tokens` are in tokens."""

    tokenizer: PromptTokenizer
    context: int
    max_draft_tokens: int
    cache: PrefixCache
    lookup: PromptLookup
    sampler: Sampler
    state: RequestState

    def write(
        self,
        hole: Hole,
        ids: Sequence[int],
        choose: Choose,
        trace: Trace | None = None,
        until: Callable[[], bool] = lambda: False,
    ) -> Steps[None]:
        """Fills `hole` after the prompt `ids`, `until` nothing more is wanted, which is asked after each token.

        With a `trace`, the hole begins with the tokens that are there, each choice is noted, and nothing is streamed.
        """
        if len(ids) > self.context:  # the fills of earlier holes took its room
            hole.reason = hole.reason or StopReason.CONTEXT_FULL
            return
        begun = trace.choices if trace else []
        for choice in begun:
            hole.take(choice.token, choice.logprob)
        if begun and hole.reason is not None:
            return
        reported = 0
        logits = yield from self._logits_after(hole, ids) if begun else self._logits_after_prompt(hole, ids)
        while hole.reason is None:
            if self.state.cancel.cancelled:
                raise RequestCancelled
            token, logprob = choose(logits)
            if trace is not None:
                trace.note(self.sampler, token, logprob)
            hole.take(token, logprob, self._top_logprobs())
            self._check_limits(hole, ids)
            if hole.reason is None and until():
                hole.reason = StopReason.OUTSIDE
            reported = self.report(hole, reported) if trace is None else 0
            if hole.reason is None:
                logits = yield from self._logits_after(hole, ids)

    def report(self, hole: Hole, reported: int = 0) -> int:
        """Streams the tokens that became certain after the first `reported`; how many are reported now."""
        on_token = self.state.request.on_token
        if on_token is None:
            return reported
        certain = hole.certain_tokens(reported)
        for token in certain:
            on_token(StreamEvent(self.state.candidate, self.state.hole, token))
        return reported + len(certain)

    def _check_limits(self, hole: Hole, ids: Sequence[int]) -> None:
        """Notes the first token, and ends `hole` where the context is full or the time is over."""
        if hole.new_tokens or hole.reason:
            self.state.on_first_token()
        if hole.reason is None and len(ids) + len(hole.tokens) >= self.context:
            hole.reason = StopReason.CONTEXT_FULL
        if hole.reason is None:
            self._check_deadline(hole)

    def _check_deadline(self, hole: Hole) -> None:
        """Ends `hole` at a line's end after the deadline, and anywhere after twice that time."""
        deadline, elapsed = self.state.request.deadline_s, self.state.elapsed_s
        if deadline is not None and elapsed >= deadline:
            streamed = self.state.request.on_token is not None
            hole.stop_at_line_end(even_inside=elapsed >= 2 * deadline, whole=streamed)

    def _top_logprobs(self) -> tuple[tuple[str, float], ...]:
        count, tokenizer = self.state.request.top_logprobs, self.tokenizer
        return tuple((tokenizer.decode([i]), p) for i, p in self.sampler.top_logprobs(count)) if count else ()

    def _logits_after_prompt(self, hole: Hole, ids: Sequence[int]) -> Steps[Tensor]:
        """Logits after the prompt; counts what of it was read."""
        counts = self.state.counts
        before = counts.copy()
        logits = yield from self._logits_after(hole, ids)
        read = counts.since(before)
        counts.prompt_read += read.evaluated - read.drafted
        return logits

    def _logits_after(self, hole: Hole, ids: Sequence[int]) -> Steps[Tensor]:
        """Logits after the prompt and what `hole` holds."""
        held = [*ids, *hole.tokens]
        room_left = self.context - len(held)
        return (yield from self.cache.logits_after(held, self.state.cancel, lambda: self._draft(hole, room_left)))

    def _draft(self, hole: Hole, room_left: int) -> list[int]:
        """What may follow `hole`, up to `room_left` tokens. Beside other requests every drafted token costs more."""
        limit = min(room_left, self.max_draft_tokens // self.state.concurrency())
        draft = self.lookup.draft(hole.tokens)[: max(0, limit)] if limit > 0 else []
        allowed = hole.allowed()
        return draft if allowed is None or not draft or draft[0] in allowed else []
