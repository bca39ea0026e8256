"""What stands elsewhere in the file between two sides like those of the hole: copies that agree with both.

A place where the text before the hole stood, and behind it one where the text after it stood: what is between them may
be what is missing here. Unlike n-grams, which only look back, a bridge tells where the hole ends, be it in the middle
of a line or after several.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lacuna_inference.decode.copied import Copied, copied
from lacuna_inference.decode.renamed import Renamed, renamed

MOST = 6
"""Bridges that are weighed against each other."""

Bridge = Copied | Renamed


class Fit(NamedTuple):
    """Coefficients of a conditional logit (McFadden, 1974) over the bridges and "none of them", whose score is 0.

    All but the first of a kind, which is for any bridge of it, are for the logarithm of a number.
    """

    copied: float
    copied_before: float
    copied_after: float
    renamed: float
    renamed_before: float
    renamed_after: float
    renamed_same: float
    length: float
    lines: float
    rivals: float


FIT = Fit(
    copied=-2.27, copied_before=1.12, copied_after=0.75,
    renamed=-4.84, renamed_before=-0.2, renamed_after=-0.54, renamed_same=2.78,
    length=-1.17, lines=-0.44, rivals=-0.73,
)  # fmt: skip
"""Printed by `python -m training bridges`: how often such bridges were what had been cut out, without any model."""
UNAIDED = 0.05
"""How often a small model by itself is right where a hole begins with its line or ends inside one, roughly."""


def weighed(before: str, after: str) -> list[tuple[str, float]]:
    """The likeliest texts of the hole between `before` and `after`, with their weights; together less than 1.

    A weight is the text's chance, but for where the model is hardly ever right by itself: there an unlikely bridge is
    still likelier than anything else, and the chance of "none of them" counts only as much as the model is worth. An
    empty bridge gains nothing by that: it would save nobody a key.
    """
    if not (found := bridges(before, after)):
        return []
    odds = np.exp(features(found) @ FIT)
    if not before[before.rfind("\n") + 1 :].strip() or after.split("\n", 1)[0].strip():
        odds[[bool(bridge.text) for bridge in found]] /= UNAIDED
    return list(zip((bridge.text for bridge in found), (odds / (1 + odds.sum())).tolist(), strict=True))


def features(found: Sequence[Bridge]) -> NDArray[np.float64]:
    """What bridges are weighed by [bridges, coefficients of `Fit`]."""
    return np.log([(*_of_its_kind(b), 1 + len(b.text), 1 + b.text.count("\n"), len(found)) for b in found])


def bridges(before: str, after: str, fit: Fit = FIT) -> list[Bridge]:
    """Up to MOST bridges, none twice, the likeliest first."""
    found: list[Bridge] = [*copied(before, after), *renamed(before, after)]
    if not found:
        return []
    best: dict[str, Bridge] = {}
    for number in np.argsort(-(features(found) @ fit), kind="stable").tolist():
        best.setdefault(found[number].text, found[number])
    return list(best.values())[:MOST]


def _of_its_kind(bridge: Bridge) -> tuple[float, ...]:
    if isinstance(bridge, Copied):
        return (np.e, bridge.before, bridge.after, 1, 1, 1, 1)
    return (1, 1, 1, np.e, bridge.before, bridge.after, 1 + bridge.same)
