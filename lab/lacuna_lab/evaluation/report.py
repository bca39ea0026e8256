"""Summarizes scores as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lacuna_lab.evaluation.holes import SINGLE_LINE, HoleKind
from lacuna_lab.evaluation.metrics import Interval, bootstrap
from lacuna_lab.evaluation.run import Score


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One kind of hole for one answerer. Shares from 0 to 1, with intervals over files; see `Score`."""

    kind: HoleKind
    holes: int
    exact: Interval
    exact_stripped: Interval
    similarity: Interval
    parses: Interval
    end_found: Interval | None
    early: Interval | None
    late: Interval | None


def rows(scores: Sequence[Score]) -> list[EvaluationRow]:
    """A row for each kind of hole that has scores."""
    return [_row(kind, found) for kind in HoleKind if (found := [s for s in scores if s.kind is kind])]


def end_found_single_line(scores: Sequence[Score]) -> Interval:
    """Share of single-line holes whose end was found."""
    return bootstrap([(s.file, float(bool(s.end_found))) for s in scores if s.kind in SINGLE_LINE])


def markdown(tables: Mapping[str, Sequence[EvaluationRow]]) -> str:
    """One Markdown table of all answerers, grouped by kind of hole."""
    lines = [
        "| hole | by | n | exact match | stripped | edit similarity | parses | end found | early | late |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind in HoleKind:
        for name, table in tables.items():
            for row in table:
                if row.kind is kind:
                    ends = [row.end_found, row.early, row.late]
                    cells = [row.exact, row.exact_stripped, row.similarity, row.parses, *ends]
                    shown = " | ".join(percent(cell) if cell else "" for cell in cells)
                    lines.append(f"| {kind} | {name} | {row.holes} | {shown} |")
    return "\n".join(lines)


def as_json(tables: Mapping[str, Sequence[EvaluationRow]]) -> dict[str, Any]:
    """The tables as JSON-serializable data."""
    return {name: [asdict(row) for row in table] for name, table in tables.items()}


def percent(interval: Interval) -> str:
    """For example `21.3 % (18.0 to 24.9)`."""
    return f"{100 * interval.mean:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _row(kind: HoleKind, scores: Sequence[Score]) -> EvaluationRow:
    def interval(name: str) -> Interval:
        return bootstrap([(score.file, float(getattr(score, name))) for score in scores])

    def optional(name: str) -> Interval | None:
        return None if getattr(scores[0], name) is None else interval(name)

    return EvaluationRow(
        kind=kind,
        holes=len(scores),
        exact=interval("exact"),
        exact_stripped=interval("exact_stripped"),
        similarity=interval("similarity"),
        parses=interval("parses"),
        end_found=optional("end_found"),
        early=optional("early"),
        late=optional("late"),
    )
