"""The rows of `lacuna bench accelerations` as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lacuna_lab.bench.accelerations import AccelerationFigures, AccelerationRow
from lacuna_lab.bench.accelerations_steps import Group, Runner

_MIB = 2**20
_Factor = Callable[[AccelerationFigures], float]


@dataclass(frozen=True, slots=True)
class About:
    """What was measured: `keys` keystrokes in all `sessions` together, suggestions of at most `max_tokens` tokens."""

    model: str
    random_weights: bool
    device: str
    dtype: str
    sessions: int
    keys: int
    max_tokens: int
    seed: int

    @property
    def title(self) -> str:
        model = f"{self.model} (random weights)" if self.random_weights else self.model
        return f"{model}, {self.dtype} on {self.device}"


def table(rows: Sequence[AccelerationRow], about: About) -> Iterator[str]:
    """The report, line by line: cumulative steps, alternative runners, several users, each step alone and left out."""
    yield f"## Accelerations: {about.title}"
    yield ""
    yield (
        f"{about.keys} keystrokes in {about.sessions} files; after each, up to {about.max_tokens} tokens of the line "
        "are completed."
    )
    yield ""
    yield "### Each on top of the steps before it"
    yield ""
    yield from _ladder([row for row in rows if row.group is Group.LADDER], "step", "the step before")
    for group, title, first, against in (
        (Group.INSTEAD, "Alternatives, with everything on", "with", "everything"),
        (Group.CROWD, "Several users at the same moment, with everything on", "requests", "sequential"),
    ):
        if chosen := [row for row in rows if row.group is group]:
            yield ""
            yield f"### {title}"
            yield ""
            yield from _ladder(chosen, first, against)
    yield ""
    yield "### Each alone, and each left out"
    yield ""
    yield from _one_at_a_time(rows)
    yield ""
    yield from _notes(rows)


def _ladder(rows: Sequence[AccelerationRow], first: str, against: str) -> Iterator[str]:
    yield (
        f"| {first} | ms per key, mean | p50 | faster than {against} | tokens evaluated per key | passes per key "
        f"| weights MiB | kept MiB | same text as {against} | as plain greedy | as typed |"
    )
    yield "| --- " * 11 + "|"
    for row in rows:
        if (found := row.figures) is None:
            yield f"| {row.name} | does not apply: {row.why_not} |" + " |" * 9
            continue
        yield (
            f"| {row.name} | {milliseconds(found.mean_s)} | {milliseconds(found.p50_s)} | {times(found.times_faster)} "
            f"| {found.evaluated:.1f} | {found.passes:.2f} | {found.weight_bytes / _MIB:.0f} "
            f"| {found.kept_bytes / _MIB:.1f} | {identical(row)} | {100 * found.as_first:.0f} % "
            f"| {100 * found.as_typed:.0f} % |"
        )


def _one_at_a_time(rows: Sequence[AccelerationRow]) -> Iterator[str]:
    """Alone: compared with the forward that evaluates every prompt from scratch. Left out: everything else stays on."""
    yield (
        "| acceleration | alone, ms per key | faster than without | weights + kept MiB | same text "
        "| left out, ms per key | slower than everything | weights + kept MiB | same text |"
    )
    yield "| --- " * 9 + "|"
    alone = {row.name: row for row in rows if row.group is Group.ALONE}
    left_out = {row.name: row for row in rows if row.group is Group.LEFT_OUT}
    for name in dict.fromkeys([*alone, *left_out]):
        cells = _cells(alone.get(name), lambda found: found.times_faster)
        cells += _cells(left_out.get(name), lambda found: 1 / found.times_faster)
        yield f"| {name} | {' | '.join(cells)} |"


def _cells(row: AccelerationRow | None, factor: _Factor) -> list[str]:
    if row is None or row.figures is None:
        return [""] * 4
    found = row.figures
    size = (found.weight_bytes + found.kept_bytes) / _MIB
    return [milliseconds(found.mean_s), times(factor(found)), f"{size:.0f}", identical(row)]


def _notes(rows: Sequence[AccelerationRow]) -> Iterator[str]:
    yield (
        "Weights: all tensors of the forward, in every layout that is kept. Kept: KV cache and logits after a session. "
        "Plain greedy: the first row. As typed: the share of suggestions that match what was then typed up to the end "
        "of the line."
    )
    runners = [row for row in rows if row.group in (Group.LADDER, Group.INSTEAD) and row.name in tuple(Runner)]
    if loads := [
        f"{row.name} {row.figures.prepared_s:.1f} s" for row in runners if row.figures and row.figures.prepared_s
    ]:
        yield f"Loading: {', '.join(loads)}."
    for row in rows:
        if row.broken:
            yield f"**{row.name} ({row.group}) changed texts although it must not.**"


def identical(row: AccelerationRow) -> str:
    """Whether the texts are the baseline's, and whether they have to be."""
    found = row.figures
    if found is None:
        return ""
    if not row.exact:
        return f"{100 * (1 - found.differing / found.keys):.0f} % (may change)"
    if not found.differing:
        return "yes"
    gap = "" if found.gap is None else f"; two best tokens at most {found.gap:.2g} nats apart"
    return f"NO ({found.differing} of {found.keys} differ{gap})"


def milliseconds(seconds: float) -> str:
    """Milliseconds with about three digits."""
    return f"{1000 * seconds:.0f}" if seconds >= 0.1 else f"{1000 * seconds:.1f}"


def times(factor: float) -> str:
    """A speed-up factor, for example `2.82×`."""
    return f"{factor:.0f}×" if factor >= 10 else f"{factor:.2f}×"
