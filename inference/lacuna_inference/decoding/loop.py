"""The decode loop: from a prompt's token ids to the text of its holes, one token at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from torch import Tensor

from lacuna_inference.api import MAX_RELATED_FILES, Fill, Request, Sampling, Source, Stop
from lacuna_inference.cache.pool import PrefixCachePool, Use
from lacuna_inference.decoding.anchors import Anchors
from lacuna_inference.decoding.context_stop import ContextStop, context_stop
from lacuna_inference.decoding.hole import Hole
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.decoding.sampler import MIN_TEMPERATURE, Sampler
from lacuna_inference.decoding.speed import ReadingSpeed
from lacuna_inference.decoding.suffix_choice import SuffixChoice, first_tokens
from lacuna_inference.decoding.suggestion_reuse import SuggestionReuse
from lacuna_inference.decoding.surroundings import Surroundings
from lacuna_inference.decoding.writer import Begin, Choose, HoleWriter
from lacuna_inference.forward import PAUSE, Steps
from lacuna_inference.in_file.index import FileIndex
from lacuna_inference.in_file.mixer import DistributionMixer
from lacuna_inference.in_file.prompt_lookup import MAX_MATCH_TOKENS, PromptLookup
from lacuna_inference.prompt import context_budget
from lacuna_inference.prompt.families import Layout
from lacuna_inference.prompt.planner import Prompt
from lacuna_inference.prompt.tokenizer import PromptTokenizer

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
        known = self._known(parts, state)
        index = FileIndex(known, prompt.healed_prefix, self.tokenizer)
        if self.max_draft_tokens or self.tokenizer.family.mixes_file_ngrams:
            for _ in index.in_parts():
                yield PAUSE
        sampler = Sampler(sampling, self.tokenizer.banned, self.tokenizer.size)
        stop, fills = self._stop(prompt, state), list[Fill]()
        use = Use.PREFETCH if request.is_prefetch or prompt.narrow else Use.ANSWERS
        with self.caches.lease(request.document_id, ids, use, state.counts, state.in_background) as cache:
            lookup = PromptLookup(
                lambda: self._examples(index.followed_by(cache.answer), request), self.max_draft_tokens
            )
            writer = HoleWriter(self.tokenizer, self.context, self.max_draft_tokens, cache, lookup, sampler, state)
            for number in range(prompt.holes):
                if number:
                    ids += prompt.between[number - 1]
                healed_prefix = "" if number else prompt.healed_prefix
                mixer = self._mixer(healed_prefix, index, known, number)
                around = partial(self._context_stop, parts, tuple(fills), request)
                begin = self._beginning(healed_prefix, stop, sampler, mixer, around)
                choice: SuffixChoice | None = None
                if cache.rolls_back and (suffix := self._counted_suffix(prompt, parts, sampling, request)):
                    surroundings = Surroundings(parts[0], parts[1], request.path)
                    choice = SuffixChoice(writer, ids, surroundings, suffix, self._reads_suffix, begin)
                hole, suffix_logprob = yield from _answered(writer, ids, begin, choice)
                if self.max_draft_tokens:
                    cache.answer = index.context(hole.tokens, MAX_MATCH_TOKENS + len(hole.tokens))
                ids += hole.prompt_ids()
                fill = replace(hole.fill(), suffix_logprob=suffix_logprob)
                is_candidate = mixer is not None and mixer.suggests(fill.text)
                fills.append(replace(fill, source=Source.CANDIDATE) if is_candidate else fill)
                state.hole += 1
        return tuple(fills)

    def choice(self, hole: Hole, sampler: Sampler, index: FileIndex, parts: Sequence[str], number: int) -> Choose:
        """How the tokens of hole `number` are chosen from logits."""
        return _choice(hole, sampler, self._mixer(hole.healed_prefix, index, parts, number))

    def _known(self, parts: Sequence[str], state: RequestState) -> Sequence[str]:
        """The texts around the holes as the mixer reads them: the first begins with the other files."""
        if not self.tokenizer.family.mixes_file_ngrams:
            return parts
        before = "".join(f"{file.text}\n\n" for file in state.files)
        return (before + parts[0], *parts[1:])

    @property
    def _reads_suffix(self) -> bool:
        """Whether the suffix is read behind an answer because the prompt does not show it."""
        return self.tokenizer.family.infill is None

    def _counted_suffix(self, prompt: Prompt, parts: Sequence[str], sampling: Sampling, request: Request) -> list[int]:
        """The first tokens of the text after the hole, if they count; otherwise none.

        They count in the choice of one greedy answer within a line: for models that the prompt does not show them, and
        where the line goes on, for those that seldom close a hole.
        """
        chooses = request.stop.single_line and request.stop.outside and sampling.temperature < MIN_TEMPERATURE
        if not chooses or len(parts) != 2 or request.candidates > 1 or request.top_logprobs is not None:
            return []
        goes_on = bool(parts[1].partition("\n")[0].strip())
        if not parts[1].strip() or not (self._reads_suffix or (goes_on and not self.closes_holes)):
            return []
        suffix = first_tokens(parts[1], self.tokenizer.encode_bare)
        fits = len(prompt.ids) + request.stop.max_tokens + len(suffix) <= self.context
        return suffix if fits else []

    def _beginning(
        self, healed_prefix: str, stop: Stop, sampler: Sampler, mixer: DistributionMixer | None,
        around: Callable[[], ContextStop | None],
    ) -> Begin:  # fmt: skip
        """What makes empty holes for the same text."""

        def begin(excluded: Collection[tuple[int, int]] = ()) -> tuple[Hole, Choose]:
            hole = Hole(healed_prefix, stop, self.tokenizer, around(), excluded)
            return hole, _choice(hole, sampler, mixer)

        return begin

    def _mixer(self, healed: str, index: FileIndex, parts: Sequence[str], number: int) -> DistributionMixer | None:
        """What the file says about hole `number`; None for a model that reads it only."""
        if not self.tokenizer.family.mixes_file_ngrams:
            return None
        return DistributionMixer(index, parts, number, healed, self.tokenizer)

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


def _answered(
    writer: HoleWriter, ids: Sequence[int], begin: Begin, choice: SuffixChoice | None
) -> Steps[tuple[Hole, float | None]]:
    """An answer after the prompt `ids`, by `choice` if there is one; and the suffix's log-probability if it counted."""
    if choice is not None:
        hole, suffix_logprob = yield from choice.write()
        if not hole.repeated():
            writer.report(hole)
            return hole, suffix_logprob
    return (yield from _written(writer, ids, begin)), None


def _written(writer: HoleWriter, ids: Sequence[int], begin: Begin) -> Steps[Hole]:
    """An answer after the prompt `ids`. One that only repeats the text around a blank line is begun otherwise."""
    excluded = list[tuple[int, int]]()
    while True:
        hole, choose = begin(excluded)
        yield from writer.write(hole, ids, choose)
        repeated = hole.repeated()
        if repeated is None or len(excluded) + 1 >= _ATTEMPTS:
            return hole
        excluded.append(repeated)


def _choice(hole: Hole, sampler: Sampler, mixer: DistributionMixer | None) -> Choose:
    if mixer is None:
        return lambda logits: sampler.choose(logits, hole.allowed())

    def choose(logits: Tensor) -> tuple[int, float]:
        allowed = hole.allowed()
        return sampler.choose(logits, allowed, lambda p: mixer.mix(p, hole.tokens, allowed))

    return choose
