"""The decode loop: from a prompt's token ids to the text of its holes, one token at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from lacuna_inference.api import MOST_NEARBY, CancelToken, Fill, Piece, Request, Sampling, Stop, StopReason
from lacuna_inference.cache.counts import Work
from lacuna_inference.cache.pool import Stores
from lacuna_inference.cache.prefix_cache import PrefixStore
from lacuna_inference.decoding.anchors import Anchors
from lacuna_inference.decoding.ghosts import Ghosts
from lacuna_inference.decoding.hole import Hole
from lacuna_inference.decoding.sampler import Chooser
from lacuna_inference.errors import RequestCancelled
from lacuna_inference.forward import Steps
from lacuna_inference.in_file.index import History
from lacuna_inference.in_file.mixer import Mixture
from lacuna_inference.in_file.prompt_lookup import LONGEST, Drafts
from lacuna_inference.prompt import room
from lacuna_inference.prompt.families import Layout
from lacuna_inference.prompt.planner import Plan
from lacuna_inference.prompt.tokenizer import TokenText

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

    `settles`: prompts of a document are laid out anew, as the model was trained, when its typist pauses.
    """

    stores: Stores
    text: TokenText
    context: int
    widest_draft: int = 0
    forward: str = ""
    layout: Layout = Layout.ANCHORED
    settles: bool = False
    anchors: Anchors = field(default_factory=Anchors)
    ghosts: Ghosts = field(default_factory=Ghosts)

    def fill(
        self, plan: Plan, request: Request, parts: Sequence[str], sampling: Sampling, asked: Asked
    ) -> Steps[tuple[Fill, ...]]:
        """A fill for every hole of `plan`, in order; `parts` is the text that it was made of.

        Raises RequestCancelled between two tokens.
        """
        ids = list(plan.ids)
        asked.whole = asked.whole and plan.whole
        history = History(parts, plan.begun, self.text)
        chooser = Chooser(sampling, self.text.banned, self.text.size)
        stop, fills = self._stop(plan, request, asked), []
        with self.stores.borrowed(request.key, ids, request.ahead, asked.work) as store:
            drafts = Drafts(lambda: self._examples(history.followed_by(store.answer), request), self.widest_draft)
            writer = _Writer(self, store, drafts, chooser, request, asked)
            for number in range(plan.holes):
                if number:
                    ids += plan.between[number - 1]
                hole = Hole("" if number else plan.begun, stop, self.text)
                yield from writer.write(hole, ids, self.choice(hole, chooser, history, parts, number))
                if self.widest_draft:
                    store.answer = history.context(hole.tokens, LONGEST + len(hole.tokens))
                ids += hole.held()
                fill = hole.fill()
                fills.append(fill if request.alternatives is None else replace(fill, scored=hole.certain()))
                asked.hole += 1
        return tuple(fills)

    def _stop(self, plan: Plan, request: Request, asked: Asked) -> Stop:
        """When to stop, with no more tokens than the context has room for behind the prompt."""
        wanted, read = request.stop.max_tokens, len(plan.ids) + len(self.text.encode_bare(plan.begun))
        most = room.for_answer(self.context, read, wanted, plan.holes)
        if most < wanted:
            asked.limit = most
        return replace(request.stop, max_tokens=most)

    def _examples(self, history: History, request: Request) -> History:
        """What drafts are taken from: other files first, because the latest place counts."""
        return history.preceded_by([self.text.encode_file(text) for text in request.nearby[-MOST_NEARBY:]])

    def choice(self, hole: Hole, chooser: Chooser, history: History, parts: Sequence[str], number: int) -> Choice:
        """How the tokens of hole `number` are chosen from logits [vocabulary]: their ids and log-probabilities."""
        if not self.text.family.local:
            return lambda logits: chooser.choose(logits, hole.allowed())
        mixture = Mixture(history, parts, number, hole.begun, self.text)

        def choose(logits: Tensor) -> tuple[int, float]:
            allowed = hole.allowed()
            return chooser.choose(logits, allowed, lambda p: mixture.mix(p, hole.tokens, allowed))

        return choose


@dataclass(slots=True)
class Asked:
    """What one request has come to: its clock, its costs, which candidate and hole are written. Who asked may cancel.

    `crowd` tells how many requests are answered side by side.
    """

    cancel: CancelToken
    crowd: Callable[[], int] = lambda: 1
    clock: Clock = field(default_factory=Clock)
    work: Work = field(default_factory=Work)
    candidate: int = 0
    hole: int = 0
    whole: bool = True
    limit: int | None = None
    """Tokens that there was room for in a hole, where more were asked for."""


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes the holes of one prompt."""

    decoder: Decoder
    store: PrefixStore
    drafts: Drafts
    chooser: Chooser
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
                hole.stop_at_line_end(even_inside=clock.elapsed >= 2 * deadline, whole=self.request.tell is not None)
            told = self._tell(hole, told)
            if hole.reason is None:
                logits = yield from self._after(hole, ids)

    def _alternatives(self) -> tuple[tuple[str, float], ...]:
        count = self.request.alternatives
        text = self.decoder.text
        return tuple((text.decode([i]), p) for i, p in self.chooser.likeliest(count)) if count else ()

    def _tell(self, hole: Hole, told: int) -> int:
        """Tells what has become certain behind the first `told` tokens; how many are told now."""
        if (tell := self.request.tell) is None:
            return told
        certain = hole.certain(told)
        for token in certain:
            tell(Piece(self.asked.candidate, self.asked.hole, token))
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
        return (yield from self.store.reading(held, self.asked.cancel, lambda: self._draft(hole, room)))

    def _draft(self, hole: Hole, room: int) -> list[int]:
        """What may follow what `hole` holds, up to `room` tokens. In a crowd rows are dearer."""
        room = min(room, self.decoder.widest_draft // self.asked.crowd())
        draft = self.drafts.after(hole.tokens)[: max(0, room)] if room > 0 else []
        allowed = hole.allowed()
        return draft if allowed is None or not draft or draft[0] in allowed else []
