"""The cost of a keystroke: each contestant's answers to the same sessions, and their figures side by side."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lacuna_lab.quantiles import quantile


@dataclass(frozen=True, slots=True)
class TypedAnswer:
    """Seconds from the keystroke to the suggestion and to the next keystroke, the text, and the engine's counters.

    `jumped`: the cursor had jumped, so the prompt was a new one.
    """

    taken_s: float
    gap_s: float
    text: str
    counters: Mapping[str, Any] = field(default_factory=dict)
    jumped: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One contestant's answers to a session, with the CPU time in seconds and the resident bytes after it."""

    answers: list[TypedAnswer]
    cpu_s: float
    resident: int


@dataclass(frozen=True, slots=True)
class TypingRow:
    """A contestant's figures over all sessions. `slower` is the median ratio to the first contestant, key by key.

    Counters are means per keystroke, or None for a contestant that has none. `read` are the prompt tokens that had to
    be evaluated, except at keystrokes after a jump. `evaluated` are all tokens, including those of answers and drafts.
    `same_text` is the share of answers equal to the first contestant's.
    """

    name: str
    keys: int
    p50_s: float
    p95_s: float
    slower: float
    in_time: float
    read: float | None
    evaluated: float | None
    passes: float | None
    without_pass: float | None
    cpu_s_per_1000: float
    resident: int
    same_text: float


def rows(runs: Mapping[str, Sequence[Run]]) -> list[TypingRow]:
    """A row for each contestant; each has a run for every session, in the same order."""
    reference = [answer for run in next(iter(runs.values())) for answer in run.answers]
    return [_row(name, own_runs, reference) for name, own_runs in runs.items()]


def table(rows: Sequence[TypingRow]) -> Iterator[str]:
    """The rows as a Markdown table, line by line."""
    yield (
        "| contestant | keys | key to suggestion, p50 | p95 | times slower | before the next key "
        "| prompt tokens read per key | tokens evaluated per key | passes per key | keys without a pass "
        "| CPU s per 1,000 keys | resident MiB | same text |"
    )
    yield "| --- " * 13 + "|"
    for row in rows:
        counters = [row.read, row.evaluated, row.passes]
        shown = [*("" if value is None else f"{value:.2f}" for value in counters), _percent(row.without_pass)]
        yield (
            f"| {row.name} | {row.keys} | {1000 * row.p50_s:.1f} ms | {1000 * row.p95_s:.1f} ms | {row.slower:.2f} "
            f"| {_percent(row.in_time)} | {' | '.join(shown)} | {row.cpu_s_per_1000:.1f} "
            f"| {row.resident / 2**20:.0f} | {_percent(row.same_text)} |"
        )


def _row(name: str, runs: Sequence[Run], reference: Sequence[TypedAnswer]) -> TypingRow:
    answers = [answer for run in runs for answer in run.answers]
    latencies = [answer.taken_s for answer in answers]
    return TypingRow(
        name=name,
        keys=len(answers),
        p50_s=statistics.median(latencies),
        p95_s=quantile(latencies, 0.95),
        slower=statistics.median(a.taken_s / b.taken_s for a, b in zip(answers, reference, strict=True)),
        in_time=_share(answer.taken_s <= answer.gap_s for answer in answers),
        read=_read(answers),
        evaluated=_mean("evaluated_tokens", answers),
        passes=_mean("forward_passes", answers),
        without_pass=_share(not a.counters["forward_passes"] for a in answers) if answers[0].counters else None,
        cpu_s_per_1000=1000 * sum(run.cpu_s for run in runs) / len(answers),
        resident=max(run.resident for run in runs),
        same_text=_share(a.text == b.text for a, b in zip(answers, reference, strict=True)),
    )


def _read(answers: Sequence[TypedAnswer]) -> float | None:
    if not answers[0].counters:
        return None
    without_jumps = [a.counters for a in answers if not a.jumped]
    return statistics.fmean(counters["prompt_tokens"] - counters["reused_tokens"] for counters in without_jumps)


def _mean(counter: str, answers: Sequence[TypedAnswer]) -> float | None:
    return statistics.fmean(a.counters[counter] for a in answers) if answers[0].counters else None


def _share(values: Iterator[bool]) -> float:
    flags = list(values)
    return sum(flags) / len(flags)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"
