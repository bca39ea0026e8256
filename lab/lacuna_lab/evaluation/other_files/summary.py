"""Summarizes answers without and with excerpts of other files, as a table and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from lacuna_lab.evaluation.metrics import Interval, bootstrap
from lacuna_lab.evaluation.other_files.cut import Occurrence
from lacuna_lab.evaluation.other_files.fill import Answer, Pair
from lacuna_lab.evaluation.report import percent

ALL = "all"


@dataclass(frozen=True, slots=True)
class Condition:
    """The answers of one condition; intervals are over files, other figures are means."""

    exact: Interval
    named: Interval
    prompt_tokens: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Row:
    """The holes of one language, or all. `new` of them have a name that the file does not have before.

    The differences are with excerpts minus without, hole by hole. `covered` is the share of the holes whose name the
    excerpts have, `budget_used` that of the budget in characters, and `excerpt_tokens` the mean length of the excerpts.
    """

    language: str
    holes: int
    files: int
    new: int
    without: Condition
    with_excerpts: Condition
    exact_difference: Interval
    named_difference: Interval
    covered: float
    budget_used: float
    excerpt_tokens: float


def rows(pairs: Sequence[Pair], budget: int) -> list[Row]:
    """A row for each language, and one for all holes."""
    languages = sorted({pair.language for pair in pairs})
    found = [_row(one, [pair for pair in pairs if pair.language == one], budget) for one in languages]
    return [*found, _row(ALL, pairs, budget)] if len(languages) != 1 else [_row(languages[0], pairs, budget)]


def markdown(tables: dict[str, list[Row]]) -> str:
    """One Markdown table, the models one after the other."""
    heads = [
        "model", "language", "holes", "exact without", "exact with", "difference", "name without", "name with",
        "difference", "name shown", "budget used", "tokens shown", "prompt tokens", "seconds",
    ]  # fmt: skip
    lines = [heads, ["---"] * len(heads)]
    for model, table in tables.items():
        for row in table:
            before, after = row.without, row.with_excerpts
            lines.append([
                model, row.language, str(row.holes),
                percent(before.exact), percent(after.exact), points(row.exact_difference),
                percent(before.named), percent(after.named), points(row.named_difference),
                f"{100 * row.covered:.0f} %", f"{100 * row.budget_used:.0f} %", f"{row.excerpt_tokens:.0f}",
                f"{before.prompt_tokens:.0f} to {after.prompt_tokens:.0f}",
                f"{before.seconds:.2f} to {after.seconds:.2f}",
            ])  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def as_json(tables: dict[str, list[Row]]) -> dict[str, Any]:
    """The tables as JSON-serializable data."""
    return {model: [asdict(row) for row in table] for model, table in tables.items()}


def points(difference: Interval) -> str:
    """For example `+4.1 (-0.3 to +8.2)`, in percentage points."""
    return f"{100 * difference.mean:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"


def _row(language: str, pairs: Sequence[Pair], budget: int) -> Row:
    def difference(of: Callable[[Answer], bool]) -> Interval:
        return bootstrap([(pair.file, float(of(pair.with_excerpts)) - float(of(pair.without))) for pair in pairs])

    return Row(
        language,
        len(pairs),
        len({pair.file for pair in pairs}),
        sum(pair.occurrence is Occurrence.NEW for pair in pairs),
        _condition([(pair.file, pair.without) for pair in pairs]),
        _condition([(pair.file, pair.with_excerpts) for pair in pairs]),
        difference(lambda answer: answer.exact),
        difference(lambda answer: answer.named),
        fmean(pair.shown.has_name for pair in pairs),
        fmean(pair.shown.characters / max(1, budget) for pair in pairs),
        fmean(pair.shown.tokens for pair in pairs),
    )


def _condition(answers: Sequence[tuple[str, Answer]]) -> Condition:
    return Condition(
        bootstrap([(file, float(answer.exact)) for file, answer in answers]),
        bootstrap([(file, float(answer.named)) for file, answer in answers]),
        fmean(answer.prompt_tokens for _, answer in answers),
        fmean(answer.seconds for _, answer in answers),
    )
