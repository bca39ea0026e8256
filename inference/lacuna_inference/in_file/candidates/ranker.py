"""Texts from elsewhere in the file that may fill the hole whole, each with its chance.

N-grams only look back; where a text stands between two sides like those of the hole, both of them speak for it, and it
tells where the hole ends, be it in the middle of a line or after several.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from lacuna_inference.in_file.candidates.candidate import FillCandidate, Kind
from lacuna_inference.in_file.candidates.copied import copied
from lacuna_inference.in_file.candidates.listed import listed
from lacuna_inference.in_file.candidates.renamed import renamed

MAX_CANDIDATES = 6
"""Texts that are handed on, the likeliest ones."""
SMALL_MODEL_ACCURACY = 0.1
"""How often a small model by itself is right where a hole begins with its line or ends inside one, roughly."""
WEIGHTS = "bridges.safetensors"
"""Written by `python -m training bridges`: the network that judges bridges, fitted without any language model."""

Features = NDArray[np.float32]


def rank_candidates(before: str, after: str) -> list[tuple[str, float]]:
    """The likeliest texts of the hole between `before` and `after`, with their weights; together less than 1.

    A weight is the text's chance, but for where the model is hardly ever right by itself: there an unlikely bridge is
    still likelier than anything else, and the chance of "none of them" counts only as much as the model is worth. An
    empty bridge gains nothing by that: it would save nobody a key.
    """
    odds = _odds(find_candidates(before, after), before, after)
    if not _begun(before) or not _ends_line(after):
        odds = {text: odd / SMALL_MODEL_ACCURACY if text else odd for text, odd in odds.items()}
    likeliest = sorted(odds, key=odds.__getitem__, reverse=True)[:MAX_CANDIDATES]
    total = 1 + sum(odds.values())
    return [(text, chance) for text in likeliest if (chance := odds[text] / total) > 0]


def find_candidates(before: str, after: str) -> list[FillCandidate]:
    """All that are found; a text may come more than once."""
    return [*copied(before, after), *renamed(before, after), *listed(before, after)]


def features(found: Sequence[FillCandidate], before: str, after: str) -> Features:
    """What bridges are judged by [bridges, features]: themselves, beside each other, and where the hole is."""
    kinds = np.array([bridge.kind for bridge in found])
    sides = np.array([(bridge.before, bridge.after) for bridge in found], np.float32)
    of_kind = [kinds == kind for kind in Kind]
    longest = np.stack([sides == sides[mine].max(axis=0, initial=0) for mine in of_kind])[kinds, np.arange(len(found))]
    times = Counter(bridge.text for bridge in found)
    own = np.concatenate(
        (
            np.ones((len(found), 1)),
            np.log1p(sides),
            longest,
            [(np.log(20 + b.away), np.log(times[b.text])) for b in found],
        ),
        axis=1,
    )
    by_kind = [own * mine[:, None] for mine in of_kind]
    shared = [
        (np.log1p(min(b.before, b.after)), np.log1p(b.same), np.log1p(b.text.count("\n")), np.log1p(len(b.text)))
        for b in found
    ]
    plain = [(b.above, not b.text, not b.text.strip()) for b in found]
    hole = [len(times), *(1 + mine.sum() for mine in of_kind), 1 + len(_begun(before))]
    around = np.tile([*np.log(hole), not _begun(before), _ends_line(after)], (len(found), 1))
    return np.concatenate((*by_kind, shared, plain, around), axis=1).astype(np.float32)


def score(rows: Features, weights: dict[str, Features]) -> Features:
    """Logarithms of the odds against "none of them" [bridges]: a line and a layer of hidden units with ReLU."""
    hidden = np.maximum(rows @ weights["hidden.weight"].T + weights["hidden.bias"], 0)
    scores: Features = rows @ weights["line.weight"][0] + hidden @ weights["out.weight"][0] + weights["line.bias"]
    return scores


def _odds(found: Sequence[FillCandidate], before: str, after: str) -> dict[str, float]:
    """The odds of each text, which are those of all its bridges together."""
    odds: dict[str, float] = {}
    if found:
        scores = np.exp(score(features(found, before, after), _weights()).astype(np.float64).clip(-50, 50))
        for bridge, odd in zip(found, scores.tolist(), strict=True):
            odds[bridge.text] = odds.get(bridge.text, 0.0) + odd
    return odds


@cache
def _weights() -> dict[str, Features]:
    weights: dict[str, Features] = load((resources.files("lacuna_inference.in_file.candidates") / WEIGHTS).read_bytes())
    return weights


def _begun(before: str) -> str:
    """What stands in the hole's line before it."""
    return before[before.rfind("\n") + 1 :].strip()


def _ends_line(after: str) -> bool:
    return not after.split("\n", 1)[0].strip()
