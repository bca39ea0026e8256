"""Logistic regression: from the evidence for a beginning to its chance. Fitted to some projects, judged on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from lacuna_lab.gate.judged import JudgedAnswer
from lacuna_server.core.evidence import NAMES
from lacuna_server.core.gate import Coefficients, chance

FOLDS = 5
RIDGE = 3.0
"""How strongly coefficients are kept near 0: as much as this number of answers with evidence of 1."""
_STEPS = 50
_NEVER_NEGATIVE = "joint"
"""What the model finds likelier must not count for less."""
Matrix = NDArray[np.float64]


def fit(answers: Sequence[JudgedAnswer]) -> Coefficients:
    """The coefficients, for the names of the evidence and `bias`, by Newton's method."""
    rows = np.array([(1.0, *row) for answer in answers for row in answer.evidence])
    right = np.array([float(right) for answer in answers for right in answer.right])
    names: list[str] = ["bias", *NAMES]
    found = dict(zip(names, map(float, _newton(rows, right)), strict=True))
    if found[_NEVER_NEGATIVE] < 0:
        rows[:, names.index(_NEVER_NEGATIVE)] = 0
        found = dict(zip(names, map(float, _newton(rows, right)), strict=True))
    return found


def cross_fitted(answers: Sequence[JudgedAnswer]) -> list[list[float]]:
    """The chances of each answer's cuts, from coefficients that were fitted to the other projects' answers."""
    projects = sorted({answer.project for answer in answers})
    np.random.default_rng(0).shuffle(projects)
    fold_of = {project: number % FOLDS for number, project in enumerate(projects)}
    others = {
        fold: fit([answer for answer in answers if fold_of[answer.project] != fold]) for fold in set(fold_of.values())
    }
    return [chances(answer, others[fold_of[answer.project]]) for answer in answers]


def chances(answer: JudgedAnswer, fitted: Mapping[str, float]) -> list[float]:
    """The chances of the answer's cuts, as the server computes them."""
    return list(accumulate((chance(fitted, row) for row in answer.evidence), min))


def _newton(rows: Matrix, right: Matrix) -> Matrix:
    """The maximum of the likelihood [columns], less the ridge. The first column, of ones, has none."""
    ridge = np.full(rows.shape[1], RIDGE)
    ridge[0] = 1e-6
    weights = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        likely = 1 / (1 + np.exp(-rows @ weights))
        gradient = rows.T @ (likely - right) + ridge * weights
        curvature = (rows * (likely * (1 - likely))[:, None]).T @ rows + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    return weights
