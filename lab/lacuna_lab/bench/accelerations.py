"""Which ways of speeding up inference work here: the same typed keys, answered with each on top of others and alone.

All contestants are asked for the rest of the line after every key, in one process, and see the same part of the text.
Those that must change no text are compared with the one that they build on, key by key.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lacuna_inference.api import Request, Stop
from lacuna_lab.bench import accelerations_near
from lacuna_lab.bench.accelerations_models import Contestant, Models
from lacuna_lab.bench.accelerations_steps import AblationStep, Group, Setup
from lacuna_lab.bench.typing_trace import TypingTrace

_MAX_GAPS = 20
"""Keys that went another way of which it is told how near the choice was; each costs a session up to there."""


@dataclass(frozen=True, slots=True)
class TypingLoad:
    """A request for each key of a session, and what was then typed up to the line's end (None behind a typo)."""

    requests: tuple[Request, ...]
    typed: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class TimedAnswer:
    """Seconds from the request to the text, the tokens that were read for it and the passes that read them."""

    taken_s: float
    text: str
    evaluated: int
    passes: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """A contestant's answers to all works, one after the other, and the most bytes that it kept between two keys."""

    answers: list[TimedAnswer]
    kept_bytes: int


@dataclass(frozen=True, slots=True)
class AccelerationFigures:
    """Seconds a key; counters are means a key. `times_faster` compares mean seconds with those it is compared with.

    `weight_bytes` are all tensors of the forward, `kept_bytes` what a session leaves in memory: KV cache and logits.
    `differing` of `keys` texts are not those of the one it is compared with; `gap` is then the largest distance, in
    nats, of the two best tokens where they parted: next to nothing where rounding decided. `as_first` is the share of
    keys with the text of plain greedy decoding, `as_typed` of those with what was then typed. `prepared_s` is the time
    that loading took.
    """

    keys: int
    mean_s: float
    p50_s: float
    times_faster: float
    evaluated: float
    passes: float
    weight_bytes: int
    kept_bytes: int
    differing: int
    gap: float | None
    as_first: float
    as_typed: float
    prepared_s: float


@dataclass(frozen=True, slots=True)
class AccelerationRow:
    """A step and its figures; None where it does not apply."""

    group: Group
    name: str
    exact: bool
    figures: AccelerationFigures | None
    why_not: str = ""

    @property
    def broken(self) -> bool:
        """Whether it changed texts that it must not change."""
        return self.exact and self.figures is not None and self.figures.differing > 0


def typing_load(session: TypingTrace, keys: int, max_tokens: int, key: str = "") -> TypingLoad:
    """The first `keys` keys of `session`; `key` tells documents of the same name apart."""
    stop = Stop(max_tokens, single_line=True)
    requests = [
        Request(
            (typed.text[: typed.cursor], typed.text[typed.cursor :]), session.name, stop, document_id=key + session.name
        )
        for typed in session.keys[:keys]
    ]
    return TypingLoad(tuple(requests), tuple(_typed_later(session)[:keys]))


def measure(
    contestants: Mapping[Setup, Contestant],
    works: Sequence[TypingLoad],
    repeats: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[Setup, Measurement]:
    """The answers of all contestants, who take turns key by key; each is first once. What libraries prepare at the
    first answer is not measured. `tell` hears how far it is."""
    order = list(contestants)
    answers: dict[Setup, list[TimedAnswer]] = {setup: [] for setup in order}
    kept = dict.fromkeys(order, 0)
    for contestant in contestants.values():
        contestant.begin()
        contestant.ask(works[0].requests[0])
    for number, session in enumerate([*works] * repeats, 1):
        tell(f"session {number} of {len(works) * repeats}: {session.requests[0].path}")
        for contestant in contestants.values():
            contestant.begin()
        for turn, request in enumerate(session.requests):
            for setup in order[turn % len(order) :] + order[: turn % len(order)]:
                answers[setup].append(timed(contestants[setup], request))
        kept = {setup: max(kept[setup], contestants[setup].kept_bytes) for setup in order}
    return {setup: Measurement(answers[setup], kept[setup]) for setup in order}


def timed(contestant: Contestant, request: Request) -> TimedAnswer:
    """The contestant's answer to `request`, now."""
    started = time.perf_counter()
    reply = contestant.ask(request)
    return TimedAnswer(time.perf_counter() - started, reply.text, reply.evaluated, reply.passes)


def rows(
    planned: Sequence[AblationStep], measured: Mapping[Setup, Measurement], works: Sequence[TypingLoad], models: Models
) -> list[AccelerationRow]:
    """A row for each step, in order."""
    first = next(iter(measured.values()))
    found = []
    for step in planned:
        if step.setup is None or step.against is None:
            found.append(AccelerationRow(step.group, step.name, step.exact, None, step.why_not))
            continue
        here, against = measured[step.setup], measured[step.against]
        runner = step.setup.runner
        gap = largest_gap(models, step.against, works, here, against) if step.exact else None
        costs = (models.weight_bytes(runner), models.prepared_s.get(runner, 0.0))
        found.append(
            AccelerationRow(step.group, step.name, step.exact, figures(here, against, first, works, costs, gap))
        )
    return found


def figures(
    here: Measurement,
    against: Measurement,
    first: Measurement,
    works: Sequence[TypingLoad],
    costs: tuple[int, float],
    gap: float | None = None,
) -> AccelerationFigures:
    """The figures of `here`. `costs` are the bytes of the weights and the seconds that loading them took."""
    answers, keys = here.answers, len(here.answers)
    taken = [answer.taken_s for answer in answers]
    typed = [text for work in works for text in work.typed] * (keys // sum(len(work.typed) for work in works))
    judged = [(answer.text, text) for answer, text in zip(answers, typed, strict=True) if text is not None]
    return AccelerationFigures(
        keys=keys,
        mean_s=statistics.fmean(taken),
        p50_s=statistics.median(taken),
        times_faster=statistics.fmean(answer.taken_s for answer in against.answers) / statistics.fmean(taken),
        evaluated=statistics.fmean(answer.evaluated for answer in answers),
        passes=statistics.fmean(answer.passes for answer in answers),
        weight_bytes=costs[0],
        kept_bytes=here.kept_bytes,
        differing=len(_differing(here, against)),
        gap=gap,
        as_first=1 - len(_differing(here, first)) / keys,
        as_typed=sum(text == later for text, later in judged) / len(judged) if judged else 0.0,
        prepared_s=costs[1],
    )


def _differing(one: Measurement, other: Measurement) -> list[int]:
    """Numbers of the answers that have different texts."""
    both = zip(one.answers, other.answers, strict=True)
    return [number for number, (a, b) in enumerate(both) if a.text != b.text]


def largest_gap(
    models: Models, against: Setup, works: Sequence[TypingLoad], here: Measurement, there: Measurement
) -> float | None:
    """How far two tokens lay apart, at most, where `here` left the texts of `against`."""
    places = [(work, number) for work in works for number in range(len(work.requests))]
    gaps = []
    for number in _differing(here, there)[:_MAX_GAPS]:
        work, at = places[number % len(places)]
        for text in (here.answers[number].text, there.answers[number].text):
            asked = work.requests[: at + 1]
            gaps.append(accelerations_near.gap(models.decoder(against), asked, text))
    return max((gap for gap in gaps if gap is not None), default=None)


def _typed_later(session: TypingTrace) -> list[str | None]:
    """For each key what is typed behind it up to the line's end; None where a typo stands before it."""
    return list(reversed(list(_typed_backwards(session))))


def _typed_backwards(session: TypingTrace) -> Iterator[str | None]:
    end = session.keys[-1].text
    for key, following in zip(reversed(session.keys), [None, *reversed(session.keys)], strict=False):
        if following is not None and following.jumped:
            end = key.text  # the cursor goes elsewhere: what was typed here is complete
        before = key.text[: key.cursor]
        yield end[len(before) :].split("\n")[0] if end.startswith(before) else None
