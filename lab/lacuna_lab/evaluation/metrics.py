"""Scores of single answers, and means with bootstrap intervals over files. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def edit_similarity(answer: str, truth: str) -> float:
    """1 minus the Levenshtein distance over the longer length: 1 for equal texts, 0 for nothing in common."""
    longer = max(len(answer), len(truth))
    return 1 - _distance(answer, truth) / longer if longer else 1.0


def bootstrap(values: Sequence[tuple[str, float]], seed: int = 0) -> Interval:
    """Mean of `values` (file, score), resampled by file because the holes of one file depend on each other."""
    by_file: dict[str, list[float]] = {}
    for file, value in values:
        by_file.setdefault(file, []).append(value)
    totals = [(sum(scores), len(scores)) for scores in by_file.values()]
    rng = random.Random(seed)
    means = sorted(_mean(rng.choices(totals, k=len(totals))) for _ in range(RESAMPLES))
    return Interval(_mean(totals), means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1])


def _mean(totals: Sequence[tuple[float, int]]) -> float:
    return sum(total for total, _ in totals) / max(1, sum(count for _, count in totals))


def _distance(a: str, b: str) -> int:
    """Levenshtein distance, in O(len(a) * len(b)) time and O(len(b)) space."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]
