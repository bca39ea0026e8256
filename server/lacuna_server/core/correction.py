"""Corrects the gate's chances by what this user wrote where answers were judged. Pure.

A logistic regression of the outcomes on the log odds of the chances (Platt, 1999), drawn towards no correction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_STEP = 0.5
_HALF = 14
BINS = 2 * _HALF + 1
"""Outcomes are counted by the chance that was expected: this many steps of half a unit of log odds, around evens."""
_SLOPE_WEIGHT, _SHIFT_WEIGHT = 30.0, 10.0
"""What holds slope and shift where they are: fifty outcomes or so move them half of the way."""
_SLOPES, _SHIFTS = (0.25, 4.0), (-4.0, 4.0)
_ROUNDS = 25


@dataclass(frozen=True, slots=True)
class Correction:
    """Log odds are multiplied by `slope`, which is positive, and `shift` is added."""

    slope: float = 1.0
    shift: float = 0.0

    def of(self, chance: float) -> float:
        """The corrected chance."""
        return _chance(self.slope * _odds(chance) + self.shift)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How many answers were judged in one bin, and after how many of them the user wrote exactly that."""

    count: int = 0
    right: int = 0


def bin_of(chance: float) -> int:
    """The bin of a chance."""
    return min(BINS - 1, max(0, round(_odds(chance) / _STEP) + _HALF))


def chance_of(number: int) -> float:
    """The chance in the middle of a bin."""
    return _chance(_STEP * (number - _HALF))


def fit(bins: Sequence[Outcomes]) -> Correction:
    """The correction that these outcomes ask for, by Newton's method."""
    slope, shift = 1.0, 0.0
    used = [(_STEP * (number - _HALF), one) for number, one in enumerate(bins) if one.count]
    for _ in range(_ROUNDS):
        to_slope, to_shift = _SLOPE_WEIGHT * (slope - 1), _SHIFT_WEIGHT * shift
        curves = [_SLOPE_WEIGHT, 0.0, _SHIFT_WEIGHT]
        for odds, one in used:
            chance = _chance(slope * odds + shift)
            surplus, curve = one.count * chance - one.right, one.count * chance * (1 - chance)
            to_slope, to_shift = to_slope + surplus * odds, to_shift + surplus
            curves = [curves[0] + curve * odds * odds, curves[1] + curve * odds, curves[2] + curve]
        scale = curves[0] * curves[2] - curves[1] ** 2
        slope = _within(slope - (curves[2] * to_slope - curves[1] * to_shift) / scale, _SLOPES)
        shift = _within(shift - (curves[0] * to_shift - curves[1] * to_slope) / scale, _SHIFTS)
    return Correction(slope, shift)


def _odds(chance: float) -> float:
    least = 1e-6
    chance = _within(chance, (least, 1 - least))
    return math.log(chance / (1 - chance))


def _chance(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))


def _within(value: float, bounds: tuple[float, float]) -> float:
    return min(bounds[1], max(bounds[0], value))
