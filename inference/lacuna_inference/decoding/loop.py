"""The decode loop: from a prompt's token ids to the text of its holes, one token at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from lacuna_inference.api import MAX_RELATED_FILES, CancelToken, Fill, Request, Sampling, Stop, StopReason, StreamEvent
from lacuna_inference.cache.counts import TokenCounts
from lacuna_inference.cache.pool import PrefixCachePool
from lacuna_inference.cache.prefix_cache import PrefixCache
from lacuna_inference.decoding.anchors import Anchors
from lacuna_inference.decoding.hole import Hole
from lacuna_inference.decoding.sampler import Sampler
from lacuna_inference.decoding.suggestion_reuse import SuggestionReuse
from lacuna_inference.errors import RequestCancelled
from lacuna_inference.forward import Steps
from lacuna_inference.in_file.index import FileIndex
from lacuna_inference.in_file.mixer import DistributionMixer
from lacuna_inference.in_file.prompt_lookup import MAX_MATCH_TOKENS, PromptLookup
from lacuna_inference.prompt import room
from lacuna_inference.prompt.families import Layout
from lacuna_inference.prompt.planner import Prompt
from lacuna_inference.prompt.tokenizer import PromptTokenizer

Choice = Callable[[Tensor], tuple[int, float]]


@dataclass(slots=True)
class Clock:
    """Times of one request, in seconds after `started`."""

    started: float = field(default_factory=time.perf_counter)
    first_token: float = 0.0

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self.started

    def token(self) -> None:
        if not self.first_token:
            self.first_token = time.perf_counter() - self.started


@dataclass(frozen=True, slots=True)
class Decoder:
    """A warm model: its stores, its text, the length of its context in tokens, the longest draft, and what runs it.

    `relayout_on_pause`: prompts of a document are laid out anew, as the model was trained, when its typist pauses.
    """

    caches: PrefixCachePool
    tokenizer: PromptTokenizer
    context: int
    max_draft_tokens: int = 0
    forward_name: str = ""
    layout: Layout = Layout.ANCHORED
    relayout_on_pause: bool = False
    anchors: Anchors = field(default_factory=Anchors)
    reuse: SuggestionReuse = field(default_factory=SuggestionReuse)

    def fill(
        self, prompt: Prompt, request: Request, parts: Sequence[str], sampling: Sampling, asked: Asked
    ) -> Steps[tuple[Fill, ...]]:
        """A fill for every hole of `plan`, in order; `parts` is the text that it was made of.

        Raises RequestCancelled between two tokens.
        """
        ids = list(prompt.ids)
        asked.whole = asked.whole and prompt.whole
        history = FileIndex(parts, prompt.healed_prefix, self.tokenizer)
        chooser = Sampler(sampling, self.tokenizer.banned, self.tokenizer.size)
        stop, fills = self._stop(prompt, request, asked), []
        with self.caches.lease(request.document_id, ids, request.is_prefetch, asked.work) as store:
            drafts = PromptLookup(
                lambda: self._examples(history.followed_by(store.answer), request), self.max_draft_tokens
            )
            writer = _Writer(self, store, drafts, chooser, request, asked)
            for number in range(prompt.holes):
                if number:
                    ids += prompt.between[number - 1]
                hole = Hole("" if number else prompt.healed_prefix, stop, self.tokenizer)
                yield from writer.write(hole, ids, self.choice(hole, chooser, history, parts, number))
                if self.max_draft_tokens:
                    store.answer = history.context(hole.tokens, MAX_MATCH_TOKENS + len(hole.tokens))
                ids += hole.prompt_ids()
                fill = hole.fill()
                fills.append(
                    fill if request.top_logprobs is None else replace(fill, token_logprobs=hole.certain_tokens())
                )
                asked.hole += 1
        return tuple(fills)

    def _stop(self, prompt: Prompt, request: Request, asked: Asked) -> Stop:
        """When to stop, with no more tokens than the context has room for behind the prompt."""
        wanted, read = request.stop.max_tokens, len(prompt.ids) + len(self.tokenizer.encode_bare(prompt.healed_prefix))
        most = room.for_answer(self.context, read, wanted, prompt.holes)
        if most < wanted:
            asked.limit = most
        return replace(request.stop, max_tokens=most)

    def _examples(self, index: FileIndex, request: Request) -> FileIndex:
        """What drafts are taken from: other files first, because the latest place counts."""
        return index.preceded_by(
            [self.tokenizer.encode_file(text) for text in request.related_files[-MAX_RELATED_FILES:]]
        )

    def choice(self, hole: Hole, sampler: Sampler, index: FileIndex, parts: Sequence[str], number: int) -> Choice:
        """How the tokens of hole `number` are chosen from logits [vocabulary]: their ids and log-probabilities."""
        if not self.tokenizer.family.local:
            return lambda logits: sampler.choose(logits, hole.allowed())
        mixture = DistributionMixer(index, parts, number, hole.healed_prefix, self.tokenizer)

        def choose(logits: Tensor) -> tuple[int, float]:
            allowed = hole.allowed()
            return sampler.choose(logits, allowed, lambda p: mixture.mix(p, hole.tokens, allowed))

        return choose


@dataclass(slots=True)
class Asked:
    """What one request has come to: its clock, its costs, which candidate and hole are written. Who asked may cancel.

    `crowd` tells how many requests are answered side by side.
    """

    cancel: CancelToken
    crowd: Callable[[], int] = lambda: 1
    clock: Clock = field(default_factory=Clock)
    work: TokenCounts = field(default_factory=TokenCounts)
    candidate: int = 0
    hole: int = 0
    whole: bool = True
    limit: int | None = None
    """Tokens that there was room for in a hole, where more were asked for."""


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes the holes of one prompt."""

    decoder: Decoder
    cache: PrefixCache
    lookup: PromptLookup
    sampler: Sampler
    request: Request
    asked: Asked

    def write(self, hole: Hole, ids: Sequence[int], choose: Choice) -> Steps[None]:
        """Writes `hole` behind the prompt `ids`."""
        if len(ids) > self.decoder.context:  # the fills of the holes before it took its room
            hole.reason = hole.reason or StopReason.CONTEXT_FULL
            return
        deadline, clock, told = self.request.deadline_s, self.asked.clock, 0
        logits = yield from self._prompted(hole, ids)
        while hole.reason is None:
            if self.asked.cancel.cancelled:
                raise RequestCancelled
            hole.take(*choose(logits), self._alternatives())
            if hole.new_tokens or hole.reason:
                clock.token()
            if hole.reason is None and len(ids) + len(hole.tokens) >= self.decoder.context:
                hole.reason = StopReason.CONTEXT_FULL
            if hole.reason is None and deadline is not None and clock.elapsed >= deadline:
                hole.stop_at_line_end(
                    even_inside=clock.elapsed >= 2 * deadline, whole=self.request.on_token is not None
                )
            told = self._tell(hole, told)
            if hole.reason is None:
                logits = yield from self._after(hole, ids)

    def _alternatives(self) -> tuple[tuple[str, float], ...]:
        count = self.request.top_logprobs
        text = self.decoder.tokenizer
        return tuple((text.decode([i]), p) for i, p in self.sampler.top_logprobs(count)) if count else ()

    def _tell(self, hole: Hole, told: int) -> int:
        """Tells what has become certain behind the first `told` tokens; how many are told now."""
        if (tell := self.request.on_token) is None:
            return told
        certain = hole.certain_tokens(told)
        for token in certain:
            tell(StreamEvent(self.asked.candidate, self.asked.hole, token))
        return told + len(certain)

    def _prompted(self, hole: Hole, ids: Sequence[int]) -> Steps[Tensor]:
        """Logits after the prompt; counts what of it was read before."""
        work = self.asked.work
        before = work.copy()
        logits = yield from self._after(hole, ids)
        read = work.since(before)
        work.reused += len(ids) - (read.evaluated - read.drafted)
        return logits

    def _after(self, hole: Hole, ids: Sequence[int]) -> Steps[Tensor]:
        """Logits after what `hole` holds."""
        held = [*ids, *hole.tokens]
        room = self.decoder.context - len(held)
        return (yield from self.cache.logits_after(held, self.asked.cancel, lambda: self._draft(hole, room)))

    def _draft(self, hole: Hole, room: int) -> list[int]:
        """What may follow what `hole` holds, up to `room` tokens. In a crowd rows are dearer."""
        room = min(room, self.decoder.max_draft_tokens // self.asked.crowd())
        draft = self.lookup.draft(hole.tokens)[: max(0, room)] if room > 0 else []
        allowed = hole.allowed()
        return draft if allowed is None or not draft or draft[0] in allowed else []
