"""The decode loop: from a prompt's token ids to the text of its holes, one token at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from lacuna_inference.api import MOST_NEARBY, CancelToken, Fill, Request, Sampling, StopReason
from lacuna_inference.decode.anchors import Anchors
from lacuna_inference.decode.drafts import LONGEST, Drafts
from lacuna_inference.decode.ghosts import Ghosts
from lacuna_inference.decode.history import History
from lacuna_inference.decode.hole import Hole
from lacuna_inference.decode.local import Local
from lacuna_inference.decode.sampling import Chooser
from lacuna_inference.decode.store import PrefixStore, Stores
from lacuna_inference.errors import RequestCancelled
from lacuna_inference.prompt.families import Layout
from lacuna_inference.prompt.plan import Plan
from lacuna_inference.prompt.tokens import TokenText

Choice = Callable[[Tensor, Hole], tuple[int, float]]


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
        self, plan: Plan, request: Request, parts: Sequence[str], sampling: Sampling, cancel: CancelToken, clock: Clock
    ) -> tuple[Fill, ...]:
        """A fill for every hole of `plan`, in order; `parts` is the text that it was made of.

        Raises RequestCancelled between two tokens.
        """
        ids = list(plan.ids)
        store = self.stores.of(request.key, ids, request.ahead)
        history = History(parts, plan.begun, self.text)
        choose = self._choice(history, sampling)
        drafts = Drafts(lambda: self._examples(history.followed_by(store.answer), request), self.widest_draft)
        writer = _Writer(store, self.context, drafts, choose, cancel, clock, request.deadline_s)
        fills = []
        for number in range(plan.holes):
            if number:
                ids += plan.between[number - 1]
            hole = Hole("" if number else plan.begun, request.stop, self.text)
            writer.write(hole, ids)
            store.answer = history.context(hole.tokens, LONGEST + len(hole.tokens))
            ids += hole.held()
            fills.append(hole.fill())
        return tuple(fills)

    def _examples(self, history: History, request: Request) -> History:
        """What drafts are taken from: other files first, because the latest place counts."""
        return history.preceded_by([self.text.encode_file(text) for text in request.nearby[-MOST_NEARBY:]])

    def _choice(self, history: History, sampling: Sampling) -> Choice:
        chooser = Chooser(sampling, self.text.banned, self.text.size)
        if not self.text.family.local:
            return lambda logits, hole: chooser.choose(logits, hole.allowed())
        local = Local(history, self.text)
        return lambda logits, hole: chooser.choose(logits, hole.allowed(), lambda p: local.mix(p, hole.tokens))


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes the holes of one prompt."""

    store: PrefixStore
    context: int
    drafts: Drafts
    choose: Choice
    cancel: CancelToken
    clock: Clock
    deadline_s: float | None

    def write(self, hole: Hole, ids: Sequence[int]) -> None:
        """Writes `hole` behind the prompt `ids`."""
        logits = self._prompted(hole, ids)
        while hole.reason is None:
            if self.cancel.cancelled:
                raise RequestCancelled
            token, logprob = self.choose(logits, hole)
            hole.take(token, logprob)
            if hole.new_tokens or hole.reason:
                self.clock.token()
            if hole.reason is None and len(ids) + len(hole.tokens) >= self.context:
                hole.reason = StopReason.CONTEXT_FULL
            if hole.reason is None and self.deadline_s is not None and self.clock.elapsed >= self.deadline_s:
                hole.stop_at_line_end(even_inside=self.clock.elapsed >= 2 * self.deadline_s)
            if hole.reason is None:
                logits = self._after(hole, ids)

    def _prompted(self, hole: Hole, ids: Sequence[int]) -> Tensor:
        """Logits after the prompt; counts what of it was read before."""
        before = self.store.work.copy()
        logits = self._after(hole, ids)
        read = self.store.work.since(before)
        self.store.work.reused += len(ids) - (read.evaluated - read.drafted)
        return logits

    def _after(self, hole: Hole, ids: Sequence[int]) -> Tensor:
        """Logits after what `hole` holds."""
        held = [*ids, *hole.tokens]
        return self.store.after(held, self.cancel, lambda: self._draft(hole, self.context - len(held)))

    def _draft(self, hole: Hole, room: int) -> list[int]:
        """What may follow what `hole` holds, up to `room` tokens."""
        draft = self.drafts.after(hole.tokens)[: max(0, room)]
        allowed = hole.allowed()
        return draft if allowed is None or not draft or draft[0] in allowed else []
