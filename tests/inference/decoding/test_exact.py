"""Reuse, drafts, prefetching, reading ahead and cancels over random typing: the texts of the plain loop."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest
import torch
from helpers import family_text, tiny_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lacuna_inference.api import CancelToken, Request, Stop
from lacuna_inference.cache.pool import PrefixCachePool
from lacuna_inference.decoding import narrowing
from lacuna_inference.decoding.answer import answer
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.reading import reading_steps
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.decoding.speed import ReadingSpeed
from lacuna_inference.decoding.suggestion_reuse import SuggestionReuse
from lacuna_inference.errors import RequestCancelled
from lacuna_inference.forward import Forward, run_steps
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.forward.static import StaticForward

CONTEXT, NARROW = 96, 20
STOPS = (Stop(6), Stop(12, single_line=True), Stop(9, max_lines=2))
OTHER_FILE = "abab (ab) = ba\nbaab(a)\n"
TEXT = st.text("ab(=\n ", max_size=12)


@dataclass(frozen=True)
class Step:
    """Deletes characters before the cursor, and inserts `typed` or the first `along` characters of the suggestion."""

    jump: int | None
    deleted: int
    typed: str
    along: int
    stop: Stop
    looks_until_cancel: int | None
    prefetch: bool
    relayout_on_pause: bool
    reads_ahead: ReadAhead | None
    may_be_narrow: bool


@dataclass(frozen=True)
class ReadAhead:
    """The document is read before it is asked for, with a cursor or without, perhaps not to its end; or, beside what is
    shown now, with another beginning."""

    cursor: bool
    looks_until_cancel: int
    beside: bool


STEPS = st.lists(
    st.builds(
        Step,
        jump=st.none() | st.integers(0, 40),
        deleted=st.integers(0, 2),
        typed=TEXT,
        along=st.integers(0, 6),
        stop=st.sampled_from(STOPS),
        looks_until_cancel=st.none() | st.integers(0, 6),
        prefetch=st.booleans(),
        relayout_on_pause=st.booleans(),
        reads_ahead=st.none() | st.builds(ReadAhead, st.booleans(), st.integers(1, 9), st.booleans()),
        may_be_narrow=st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@dataclass
class CancelsItself(CancelToken):
    """Cancelled after a number of checks."""

    looks: int = 0
    _event: Any = field(default=None, init=False)

    @property
    def cancelled(self) -> bool:
        self.looks -= 1
        return self.looks < 0


@cache
def forward(family: str, recorded: bool) -> tuple[Any, Forward]:
    text = family_text(family)
    model = tiny_model("llama", text.size, tie_word_embeddings=False)
    likely = [*text.ends, *text.encode("ab(=\n")]
    known = text.vocabulary.bytes_of
    broken = [token for token, spelt in known.items() if not spelt.isascii()]  # half a character cannot be typed
    with torch.no_grad():
        model.lm_head.weight[broken] = 0
        model.lm_head.weight[likely] *= 3  # answers that end, and that can be typed
    network = registry.build(
        model.config.to_dict(), model.state_dict(), registry.ForwardSpec(torch.float32, torch.device("cpu"), CONTEXT)
    )
    return text, StaticForward(network.network, 5, lambda run: run) if recorded else network


class Slow(ReadingSpeed):
    """A machine that reads this many tokens in the time for a prompt."""

    def tokens_in(self, seconds: float) -> int:
        return NARROW


def ask(decoder: Decoder, request: Request) -> str:
    return answer(decoder, "tiny", request, CancelToken(), 0.0).candidates[0].text


def read_ahead(decoder: Decoder, request: Request, how: ReadAhead) -> None:
    before, after = request.parts
    parts = (before, after) if how.cursor or how.beside else (before + after,)
    if how.beside:
        parts = ("b" + parts[0], *parts[1:])
    state = RequestState(
        replace(request, parts=parts), CancelsItself(how.looks_until_cancel), reads_ahead=True, beside=how.beside
    )
    with suppress(RequestCancelled):
        run_steps(reading_steps(decoder, "tiny", state), decoder.caches.forward)


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrowing, "MIN_TOKENS", NARROW)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("family", ["lacuna", "starcoder", "codegen"])
@given(text=st.text("ab(=\n ", min_size=10, max_size=60), steps=STEPS, widest=st.integers(0, 6))
def test_typing_gives_the_results_of_the_plain_loop(
    family: str, recorded: bool, text: str, steps: list[Step], widest: int
) -> None:
    tokens, network = forward(family, recorded)
    fast = Decoder(PrefixCachePool(network), tokens, CONTEXT, widest, speed=Slow())
    cursor, suggested = len(text), ""
    for step in steps:
        cursor = cursor if step.jump is None else step.jump % (len(text) + 1)
        inserted = suggested[: step.along] if step.along and suggested else step.typed
        before, after = text[: max(0, cursor - step.deleted)] + inserted, text[cursor:]
        text, cursor = before + after, len(before)
        request = Request(
            (before, after),
            "x.py",
            step.stop,
            document_id="x",
            related_files=(OTHER_FILE,),
            relayout_on_pause=step.relayout_on_pause,
        )
        if step.reads_ahead is not None:
            read_ahead(fast, request, step.reads_ahead)
        if step.looks_until_cancel is not None:
            with suppress(RequestCancelled):
                answer(fast, "tiny", request, CancelsItself(step.looks_until_cancel), 0.0)
        may_keep = tokens.family.mixes_file_ngrams or fast.reuse.is_narrow("x")
        kept = fast.reuse.rest_of(request) if may_keep else None
        request = replace(request, may_be_narrow=step.may_be_narrow)
        result = answer(fast, "tiny", request, CancelToken(), 0.0)
        suggested = result.candidates[0].text
        plain = replace(fast, caches=PrefixCachePool(network), max_draft_tokens=0, reuse=SuggestionReuse())
        if kept is None:
            same = replace(request, related_files=(), relayout_on_pause=False, may_be_narrow=result.metrics.narrow)
            assert suggested == ask(plain, same)
        else:  # fill candidates are ranked anew at every cursor, and more may have been read: a new answer may differ
            assert suggested == kept.text
        if step.prefetch:
            following = replace(request, parts=(before + suggested, after), is_prefetch=True, relayout_on_pause=False)
            ask(fast, replace(following, may_be_narrow=False))
