"""The decode loop: from a prompt's token ids to the text of its holes, one token at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from lacuna_inference.api import MAX_RELATED_FILES, Fill, Request, Sampling, Source, Stop, StopReason, StreamEvent
from lacuna_inference.cache.pool import PrefixCachePool, Use
from lacuna_inference.cache.prefix_cache import PrefixCache
from lacuna_inference.decoding.anchors import Anchors
from lacuna_inference.decoding.context_stop import ContextStop, context_stop
from lacuna_inference.decoding.hole import Hole
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.decoding.sampler import Sampler
from lacuna_inference.decoding.speed import ReadingSpeed
from lacuna_inference.decoding.suggestion_reuse import SuggestionReuse
from lacuna_inference.errors import RequestCancelled
from lacuna_inference.forward import Steps
from lacuna_inference.in_file.index import FileIndex
from lacuna_inference.in_file.mixer import DistributionMixer
from lacuna_inference.in_file.prompt_lookup import MAX_MATCH_TOKENS, PromptLookup
from lacuna_inference.prompt import context_budget
from lacuna_inference.prompt.families import Layout
from lacuna_inference.prompt.planner import Prompt
from lacuna_inference.prompt.tokenizer import PromptTokenizer

Choice = Callable[[Tensor], tuple[int, float]]
"""Logits [vocabulary] -> the id of the next token and its log-probability in nats."""

_ATTEMPTS = 3
"""How often an answer is begun that turns out to repeat what the text around a blank line has already."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """A warm model: its caches, its tokenizer, its context and longest draft in tokens, and what runs it.

    With `relayout_on_pause`, a document's prompt returns to the layout of training while the user pauses. A model that
    `closes_holes` ends its answers itself, as a rule.
    """

    caches: PrefixCachePool
    tokenizer: PromptTokenizer
    context: int
    max_draft_tokens: int = 0
    forward_name: str = ""
    layout: Layout = Layout.ANCHORED
    relayout_on_pause: bool = False
    closes_holes: bool = True
    anchors: Anchors = field(default_factory=Anchors)
    speed: ReadingSpeed = field(default_factory=ReadingSpeed)
    reuse: SuggestionReuse = field(default_factory=SuggestionReuse)

    def fill(
        self, prompt: Prompt, parts: Sequence[str], sampling: Sampling, state: RequestState
    ) -> Steps[tuple[Fill, ...]]:
        """A fill for every hole of `prompt`, in order; `parts` is the text that the prompt was made of.

        Raises RequestCancelled between two tokens.
        """
        request, ids = state.request, list(prompt.ids)
        state.prompt_is_whole = state.prompt_is_whole and prompt.whole
        state.prompt_is_narrow = prompt.narrow
        index = FileIndex(parts, prompt.healed_prefix, self.tokenizer)
        sampler = Sampler(sampling, self.tokenizer.banned, self.tokenizer.size)
        stop, fills = self._stop(prompt, state), list[Fill]()
        use = Use.PREFETCH if request.is_prefetch or prompt.narrow else Use.ANSWERS
        with self.caches.lease(request.document_id, ids, use, state.counts, state.in_background) as cache:
            lookup = PromptLookup(
                lambda: self._examples(index.followed_by(cache.answer), request), self.max_draft_tokens
            )
            writer = _HoleWriter(self, cache, lookup, sampler, state)
            for number in range(prompt.holes):
                if number:
                    ids += prompt.between[number - 1]
                healed_prefix, excluded = "" if number else prompt.healed_prefix, list[tuple[int, int]]()
                while True:
                    context = self._context_stop(parts, fills, state.request)
                    hole = Hole(healed_prefix, stop, self.tokenizer, context, excluded)
                    mixer = self._mixer(hole, index, parts, number)
                    yield from writer.write(hole, ids, _choice(hole, sampler, mixer))
                    repeated = hole.repeated()
                    if repeated is None or len(excluded) + 1 >= _ATTEMPTS:
                        break
                    excluded.append(repeated)
                if self.max_draft_tokens:
                    cache.answer = index.context(hole.tokens, MAX_MATCH_TOKENS + len(hole.tokens))
                ids += hole.prompt_ids()
                fill = hole.fill()
                is_candidate = mixer is not None and mixer.suggests(fill.text)
                fills.append(replace(fill, source=Source.CANDIDATE) if is_candidate else fill)
                state.hole += 1
        return tuple(fills)

    def choice(self, hole: Hole, sampler: Sampler, index: FileIndex, parts: Sequence[str], number: int) -> Choice:
        """How the tokens of hole `number` are chosen from logits."""
        return _choice(hole, sampler, self._mixer(hole, index, parts, number))

    def _mixer(self, hole: Hole, index: FileIndex, parts: Sequence[str], number: int) -> DistributionMixer | None:
        """What the file says about hole `number`; None for a model that reads it only."""
        if not self.tokenizer.family.mixes_file_ngrams:
            return None
        return DistributionMixer(index, parts, number, hole.healed_prefix, self.tokenizer)

    def _stop(self, prompt: Prompt, state: RequestState) -> Stop:
        """When to stop, with no more tokens than the context has room for after the prompt."""
        stop = state.request.stop
        read = len(prompt.ids) + len(self.tokenizer.encode_bare(prompt.healed_prefix))
        limit = context_budget.for_answer(self.context, read, stop.max_tokens, prompt.holes)
        if limit < stop.max_tokens:
            state.token_limit = limit
        return replace(stop, max_tokens=limit)

    def _context_stop(self, parts: Sequence[str], fills: Sequence[Fill], request: Request) -> ContextStop | None:
        """Where the hole after `fills` is left; None for a text without an end, as a raw prompt is."""
        if len(parts) <= len(fills) + 1 or not request.stop.outside:
            return None
        before = "".join(text for fill, part in zip(fills, parts, strict=False) for text in (part, fill.text))
        return context_stop(
            before + parts[len(fills)], parts[len(fills) + 1], request.path, request.stop, self.closes_holes
        )

    def _examples(self, index: FileIndex, request: Request) -> FileIndex:
        """What drafts are taken from: other files first, because the latest match counts."""
        return index.preceded_by(
            [self.tokenizer.encode_file(text) for text in request.related_files[-MAX_RELATED_FILES:]]
        )


def _choice(hole: Hole, sampler: Sampler, mixer: DistributionMixer | None) -> Choice:
    if mixer is None:
        return lambda logits: sampler.choose(logits, hole.allowed())

    def choose(logits: Tensor) -> tuple[int, float]:
        allowed = hole.allowed()
        return sampler.choose(logits, allowed, lambda p: mixer.mix(p, hole.tokens, allowed))

    return choose


@dataclass(frozen=True, slots=True)
class _HoleWriter:
    """Fills the holes of one prompt."""

    decoder: Decoder
    cache: PrefixCache
    lookup: PromptLookup
    sampler: Sampler
    state: RequestState

    def write(self, hole: Hole, ids: Sequence[int], choose: Choice) -> Steps[None]:
        """Fills `hole` after the prompt `ids`."""
        if len(ids) > self.decoder.context:  # the fills of earlier holes took its room
            hole.reason = hole.reason or StopReason.CONTEXT_FULL
            return
        state, reported = self.state, 0
        logits = yield from self._logits_after_prompt(hole, ids)
        while hole.reason is None:
            if state.cancel.cancelled:
                raise RequestCancelled
            hole.take(*choose(logits), self._top_logprobs())
            if hole.new_tokens or hole.reason:
                state.on_first_token()
            if hole.reason is None and len(ids) + len(hole.tokens) >= self.decoder.context:
                hole.reason = StopReason.CONTEXT_FULL
            if hole.reason is None:
                self._check_deadline(hole)
            reported = self._report(hole, reported)
            if hole.reason is None:
                logits = yield from self._logits_after(hole, ids)

    def _check_deadline(self, hole: Hole) -> None:
        """Ends `hole` at a line's end after the deadline, and anywhere after twice that time."""
        deadline, elapsed = self.state.request.deadline_s, self.state.elapsed_s
        if deadline is not None and elapsed >= deadline:
            streamed = self.state.request.on_token is not None
            hole.stop_at_line_end(even_inside=elapsed >= 2 * deadline, whole=streamed)

    def _top_logprobs(self) -> tuple[tuple[str, float], ...]:
        count, tokenizer = self.state.request.top_logprobs, self.decoder.tokenizer
        return tuple((tokenizer.decode([i]), p) for i, p in self.sampler.top_logprobs(count)) if count else ()

    def _report(self, hole: Hole, reported: int) -> int:
        """Streams the tokens that became certain after the first `reported`; how many are reported now."""
        on_token = self.state.request.on_token
        if on_token is None:
            return reported
        certain = hole.certain_tokens(reported)
        for token in certain:
            on_token(StreamEvent(self.state.candidate, self.state.hole, token))
        return reported + len(certain)

    def _logits_after_prompt(self, hole: Hole, ids: Sequence[int]) -> Steps[Tensor]:
        """Logits after the prompt; counts what of it was reused."""
        counts = self.state.counts
        before = counts.copy()
        logits = yield from self._logits_after(hole, ids)
        read = counts.since(before)
        counts.reused += len(ids) - (read.evaluated - read.drafted)
        return logits

    def _logits_after(self, hole: Hole, ids: Sequence[int]) -> Steps[Tensor]:
        """Logits after the prompt and what `hole` holds."""
        held = [*ids, *hole.tokens]
        room_left = self.decoder.context - len(held)
        return (yield from self.cache.logits_after(held, self.state.cancel, lambda: self._draft(hole, room_left)))

    def _draft(self, hole: Hole, room_left: int) -> list[int]:
        """What may follow `hole`, up to `room_left` tokens. Beside other requests every drafted token costs more."""
        limit = min(room_left, self.decoder.max_draft_tokens // self.state.concurrency())
        draft = self.lookup.draft(hole.tokens)[: max(0, limit)] if limit > 0 else []
        allowed = hole.allowed()
        return draft if allowed is None or not draft or draft[0] in allowed else []
