"""Quantiles: between the values, in any order, and of few values too."""

from __future__ import annotations

import math

import pytest

from lacuna_lab.quantiles import quantile


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([2.0, 1.0], 0.5, 1.5), ([2.0, 1.0], 0.95, 1.95), ([3.0], 0.95, 3.0), ([4.0, 1.0, 3.0, 2.0, 5.0], 0.75, 4.0)],
)
def test_a_quantile_lies_between_two_values(values: list[float], share: float, expected: float) -> None:
    assert quantile(values, share) == pytest.approx(expected)


def test_a_quantile_of_nothing_is_no_number() -> None:
    assert math.isnan(quantile([], 0.5))
