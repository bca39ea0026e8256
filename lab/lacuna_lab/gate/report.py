"""How reliable chances are, and what a gate with them shows, as tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lacuna_lab.gate.judged import JudgedAnswer, Shown, shown_at
from lacuna_server.core.cuts import Part
from lacuna_server.core.gate import EAGERNESS, Coefficients

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Beginnings whose chances are alike: how many, their mean chance, and the share that is right."""

    count: int
    chance: float
    right: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """How well the chances of beginnings agree with how often they are right.

    `error` is the expected calibration error: the mean distance between chance and share right in ten bins of equal
    width, each weighted by its count. `by_chance` is about what it would be if all chances were exact: of few
    beginnings, the share right differs from the chance.
    """

    error: float
    by_chance: float
    bins: tuple[Bin, ...]


def reliability(
    answers: Sequence[JudgedAnswer], chances: Sequence[Sequence[float]], part: Part | None = None
) -> Reliability:
    """Of all beginnings, or of those that are a `part`."""
    pairs = [
        (chance, right)
        for answer, found in zip(answers, chances, strict=True)
        for cut, chance, right in zip(answer.cuts, found, answer.right, strict=True)
        if part in (None, cut.part)
    ]
    bins = list[Bin]()
    for number in range(BINS):
        inside = [pair for pair in pairs if min(int(pair[0] * BINS), BINS - 1) == number]
        if inside:
            bins.append(Bin(len(inside), _mean(c for c, _ in inside), _mean(float(right) for _, right in inside)))
    count = max(1, len(pairs))
    error = sum(found.count * abs(found.chance - found.right) for found in bins) / count
    by_chance = sum(found.count * _deviation(found) for found in bins) / count
    return Reliability(error, by_chance, tuple(bins))


def markdown(title: str, answers: Sequence[JudgedAnswer], chances: Sequence[Sequence[float]]) -> str:
    """The tables about one model's answers."""
    projects, files = {answer.project for answer in answers}, {answer.file for answer in answers}
    whole = reliability(answers, chances)
    of_parts = {part: reliability(answers, chances, part) for part in Part}
    errors = [
        f"| {part} | {sum(found.count for found in of_part.bins)} | {of_part.error:.3f} | {of_part.by_chance:.3f} |"
        for part, of_part in [("all", whole), *of_parts.items()]
        if of_part.bins
    ]
    return "\n".join(
        [
            f"## {title}",
            "",
            f"{len(answers)} answers in {len(files)} files of {len(projects)} projects",
            "",
            "| part | beginnings | calibration error | by chance |",
            "| --- | --- | --- | --- |",
            *errors,
            "",
            "| beginnings | mean chance | right |",
            "| --- | --- | --- |",
            *(f"| {found.count} | {found.chance:.1%} | {found.right:.1%} |" for found in whole.bins),
            "",
            "| eagerness | shown | precision | kept characters | share |",
            "| --- | --- | --- | --- | --- |",
            *map(_shown_row, shown_at(answers, chances)),
            "",
        ]
    )


def name_of(model: str) -> str:
    """What the coefficients of a model are called: its name or its file's, without folders and the format."""
    return model.replace("\\", "/").rstrip("/").rpartition("/")[2].lower().removesuffix(".gguf")


def toml(fits: dict[str, Coefficients]) -> str:
    """The coefficients by model, as the server reads them."""
    tables = (
        f'["{model}"]\n' + "".join(f"{name} = {value:.3f}\n" for name, value in fitted.items())
        for model, fitted in fits.items()
    )
    return "\n".join(tables)


def _shown_row(row: Shown) -> str:
    mark = " (default)" if row.eagerness == EAGERNESS else ""
    return f"| {row.eagerness:g}{mark} | {row.answers} | {row.precision:.1%} | {row.kept} | {row.kept_share:.1%} |"


def _deviation(found: Bin) -> float:
    """The mean distance between chance and share right of so many independent beginnings, if the chance is exact."""
    return math.sqrt(2 * found.chance * (1 - found.chance) / (math.pi * found.count))


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
