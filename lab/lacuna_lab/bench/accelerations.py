"""Ablation of the accelerations: the same keystrokes, answered with each one alone and on top of the others.

After every keystroke all contestants complete the rest of the line, in one process and from the same part of the text.
Those that must not change any text are compared, keystroke by keystroke, with the one that they build on.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lacuna_inference.api import Request, Stop
from lacuna_lab.bench import accelerations_gap
from lacuna_lab.bench.accelerations_contenders import Contestant
from lacuna_lab.bench.accelerations_models import Models
from lacuna_lab.bench.accelerations_steps import AblationStep, Group, Setup
from lacuna_lab.bench.typing_trace import TypingTrace

_MAX_GAPS = 20
"""Differing answers for which the gap is computed; each replays its session up to that keystroke."""


@dataclass(frozen=True, slots=True)
class TypingLoad:
    """A request for each keystroke of a session, and what was then typed up to the line's end (None after a typo)."""

    requests: tuple[Request, ...]
    typed: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class TimedAnswer:
    """Seconds from the request to the text, the tokens evaluated for it and the number of forward passes."""

    taken_s: float
    text: str
    evaluated: int
    passes: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """A contestant's answers to all loads, in order, and the most bytes that it kept between two keystrokes."""

    answers: list[TimedAnswer]
    kept_bytes: int


@dataclass(frozen=True, slots=True)
class AccelerationFigures:
    """Times are seconds per keystroke, counters are means per keystroke. `times_faster`: the baseline's mean over this.

    `weight_bytes` are all tensors of the forward, `kept_bytes` what a session leaves in memory: KV cache and logits.
    `differing` of `keys` texts are not the baseline's; `gap` is then the largest difference, in nats, between the two
    most likely tokens where the texts diverge: close to zero when rounding decided. `as_first` is the share of
    keystrokes with the text of plain greedy decoding, `as_typed` the share whose text was then typed. `prepared_s` is
    the time that loading took.
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
    """A step and its figures; None when it does not apply."""

    group: Group
    name: str
    exact: bool
    figures: AccelerationFigures | None
    why_not: str = ""

    @property
    def broken(self) -> bool:
        """Whether it changed texts although it is exact."""
        return self.exact and self.figures is not None and self.figures.differing > 0


def typing_load(session: TypingTrace, keys: int, max_tokens: int, id_prefix: str = "") -> TypingLoad:
    """The first `keys` keystrokes of `session`. `id_prefix` distinguishes documents of the same name.

    The text after the cursor is in the prompt only: `generate()` cannot let it end or choose an answer.
    """
    stop = Stop(max_tokens, single_line=True, outside=False)
    document = id_prefix + session.name
    requests = [
        Request((key.text[: key.cursor], key.text[key.cursor :]), session.name, stop, document_id=document)
        for key in session.keys[:keys]
    ]
    return TypingLoad(tuple(requests), tuple(_typed_later(session)[:keys]))


def measure(
    contestants: Mapping[Setup, Contestant],
    loads: Sequence[TypingLoad],
    repeats: int = 1,
    on_progress: Callable[[str], None] = lambda _: None,
) -> dict[Setup, Measurement]:
    """The answers of all contestants, which take turns keystroke by keystroke in rotating order.

    Each answers one request first that is not measured, so that lazy initialization of libraries does not count.
    `on_progress` gets a line of text for each session.
    """
    order = list(contestants)
    answers: dict[Setup, list[TimedAnswer]] = {setup: [] for setup in order}
    kept = dict.fromkeys(order, 0)
    for contestant in contestants.values():
        contestant.begin()
        contestant.ask(loads[0].requests[0])
    for number, load in enumerate([*loads] * repeats, 1):
        on_progress(f"session {number} of {len(loads) * repeats}: {load.requests[0].path}")
        for contestant in contestants.values():
            contestant.begin()
        for turn, request in enumerate(load.requests):
            for setup in order[turn % len(order) :] + order[: turn % len(order)]:
                answers[setup].append(timed_answer(contestants[setup], request))
        kept = {setup: max(kept[setup], contestants[setup].kept_bytes) for setup in order}
    return {setup: Measurement(answers[setup], kept[setup]) for setup in order}


def timed_answer(contestant: Contestant, request: Request) -> TimedAnswer:
    """The contestant's answer to `request`, with the time that it took."""
    started = time.perf_counter()
    reply = contestant.ask(request)
    return TimedAnswer(time.perf_counter() - started, reply.text, reply.evaluated, reply.passes)


def rows(
    steps: Sequence[AblationStep], measured: Mapping[Setup, Measurement], loads: Sequence[TypingLoad], models: Models
) -> list[AccelerationRow]:
    """A row for each step, in order."""
    first = next(iter(measured.values()))
    table = []
    for step in steps:
        if step.setup is None or step.baseline is None:
            table.append(AccelerationRow(step.group, step.name, step.exact, None, step.why_not))
            continue
        measurement, baseline = measured[step.setup], measured[step.baseline]
        runner = step.setup.runner
        gap = largest_gap(models, step.baseline, loads, measurement, baseline) if step.exact else None
        costs = (models.weight_bytes(runner), models.prepared_s.get(runner, 0.0))
        found = figures(measurement, baseline, first, loads, costs, gap)
        table.append(AccelerationRow(step.group, step.name, step.exact, found))
    return table


def figures(
    measurement: Measurement,
    baseline: Measurement,
    first: Measurement,
    loads: Sequence[TypingLoad],
    costs: tuple[int, float],
    gap: float | None = None,
) -> AccelerationFigures:
    """The figures of `measurement`. `costs` are the bytes of the weights and the seconds that loading them took."""
    answers, keys = measurement.answers, len(measurement.answers)
    taken = [answer.taken_s for answer in answers]
    typed = [text for load in loads for text in load.typed] * (keys // sum(len(load.typed) for load in loads))
    known = [(answer.text, text) for answer, text in zip(answers, typed, strict=True) if text is not None]
    return AccelerationFigures(
        keys=keys,
        mean_s=statistics.fmean(taken),
        p50_s=statistics.median(taken),
        times_faster=statistics.fmean(answer.taken_s for answer in baseline.answers) / statistics.fmean(taken),
        evaluated=statistics.fmean(answer.evaluated for answer in answers),
        passes=statistics.fmean(answer.passes for answer in answers),
        weight_bytes=costs[0],
        kept_bytes=measurement.kept_bytes,
        differing=len(_differing(measurement, baseline)),
        gap=gap,
        as_first=1 - len(_differing(measurement, first)) / keys,
        as_typed=sum(text == later for text, later in known) / len(known) if known else 0.0,
        prepared_s=costs[1],
    )


def _differing(one: Measurement, other: Measurement) -> list[int]:
    """Indices of the answers whose texts differ."""
    pairs = zip(one.answers, other.answers, strict=True)
    return [index for index, (a, b) in enumerate(pairs) if a.text != b.text]


def largest_gap(
    models: Models, setup: Setup, loads: Sequence[TypingLoad], measurement: Measurement, baseline: Measurement
) -> float | None:
    """The largest gap between the two most likely tokens where `measurement` diverges from `baseline`, in nats.

    `setup` is the baseline's. None when no text differs.
    """
    keystrokes = [(load, number) for load in loads for number in range(len(load.requests))]
    gaps = []
    for index in _differing(measurement, baseline)[:_MAX_GAPS]:
        load, number = keystrokes[index % len(keystrokes)]
        for text in (measurement.answers[index].text, baseline.answers[index].text):
            requests = load.requests[: number + 1]
            gaps.append(accelerations_gap.gap(models.decoder(setup), requests, text))
    return max((gap for gap in gaps if gap is not None), default=None)


def _typed_later(session: TypingTrace) -> list[str | None]:
    """For each keystroke what is typed after it up to the end of the line; None when a typo precedes it."""
    return list(reversed(list(_typed_backwards(session))))


def _typed_backwards(session: TypingTrace) -> Iterator[str | None]:
    end = session.keys[-1].text
    for key, following in zip(reversed(session.keys), [None, *reversed(session.keys)], strict=False):
        if following is not None and following.jumped:
            end = key.text  # the cursor jumps: what was typed here is complete
        before = key.text[: key.cursor]
        yield end[len(before) :].split("\n")[0] if end.startswith(before) else None
