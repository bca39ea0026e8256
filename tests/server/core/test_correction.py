"""The correction of chances by outcomes: towards what happened, slowly, and in the same order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacuna_server.core.correction import BINS, Correction, Outcomes, bin_of, chance_of, fit


def counted(outcomes: list[tuple[float, bool]]) -> list[Outcomes]:
    bins = [Outcomes()] * BINS
    for chance, right in outcomes:
        one = bins[bin_of(chance)]
        bins[bin_of(chance)] = Outcomes(one.count + 1, one.right + right)
    return bins


def observed(truth: Correction, count: int) -> list[Outcomes]:
    """Outcomes of answers whose chances are wrong by `truth`."""
    rng = random.Random(3)
    chances = [rng.uniform(0.02, 0.98) for _ in range(count)]
    return counted([(chance, rng.random() < truth.of(chance)) for chance in chances])


def test_without_outcomes_chances_stay_as_they_are() -> None:
    assert fit([Outcomes()] * BINS) == Correction()


def test_a_few_outcomes_change_little() -> None:
    found = fit(counted([(0.5, False)] * 3))
    assert 0.45 < found.of(0.5) < 0.5


@pytest.mark.parametrize("truth", [Correction(1, 0), Correction(1, -1.5), Correction(0.5, 0.4), Correction(1.8, 1)])
def test_many_outcomes_reveal_the_truth(truth: Correction) -> None:
    found = fit(observed(truth, 1000))
    for chance in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert found.of(chance) == pytest.approx(truth.of(chance), abs=0.08)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_chance_stays_the_larger_one(outcomes: list[tuple[float, bool]], one: float, other: float) -> None:
    found = fit(counted(outcomes))
    low, high = sorted((one, other))
    assert 0 <= found.of(low) <= found.of(high) <= 1


@given(st.floats(0, 1))
def test_a_bin_holds_chances_near_its_middle(chance: float) -> None:
    middle = chance_of(bin_of(chance))
    assert abs(middle - chance) < 0.07


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 2000)), min_size=BINS, max_size=BINS))
def test_whatever_was_counted_gives_a_usable_correction(counts: list[tuple[int, int]]) -> None:
    found = fit([Outcomes(max(pair), min(pair)) for pair in counts])
    assert 0.25 <= found.slope <= 4
    assert -4 <= found.shift <= 4
