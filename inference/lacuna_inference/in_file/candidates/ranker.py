"""Ranks fill candidates: texts from elsewhere in the file that may fill the hole whole, each with its probability.

N-grams only look at what precedes the hole. If a text lies between two sides like those of the hole, both sides are
evidence for it, and it shows where the hole ends, whether within a line or after several.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.in_file.candidates.candidate import FillCandidate, Kind
from lacuna_inference.in_file.candidates.copied import copied
from lacuna_inference.in_file.candidates.listed import listed
from lacuna_inference.in_file.candidates.renamed import renamed

MAX_CANDIDATES = 6
"""Candidates that are returned, the likeliest ones."""
SMALL_MODEL_ACCURACY = 0.1
"""How often a small model alone is right where a hole begins with its line or ends inside one, roughly."""
WEIGHTS = "ranker.safetensors"
"""Written by `python -m training ranker`: the network that ranks candidates, fitted without any language model."""
FEATURE_NAMES = (
    *(
        f"{kind.name.lower()}.{name}"
        for kind in Kind
        for name in ("is_kind", "log_before", "log_after", "most_before", "most_after", "log_distance", "log_count")
    ),
    *("log_weaker_side", "log_same", "log_newlines", "log_length"),
    *("is_above", "is_empty", "is_blank"),
    *("log_n_texts", *(f"log_n_{kind.name.lower()}" for kind in Kind), "log_typed_length"),
    *("hole_begins_line", "hole_ends_line"),
)
"""The columns of `features`. `KIND.*` are 0 for candidates of another kind; `most_*` is whether none of the same kind
agrees further on that side; `log_count` counts candidates with the same text. The last seven describe the hole."""

Features = NDArray[np.float32]


def rank_candidates(before: str, after: str) -> list[tuple[str, float]]:
    """The likeliest texts of the hole between `before` and `after`, with their weights, which sum to less than 1.

    A weight is the text's probability, except where the model alone is hardly ever right. There an unlikely candidate
    is still likelier than anything else, and the probability of "none of them" counts only as much as the model is
    worth. An empty candidate gains nothing by that: it would save no keystroke.
    """
    odds = _odds(find_candidates(before, after), before, after)
    if not _typed(before) or not _ends_line(after):
        odds = {text: odd / SMALL_MODEL_ACCURACY if text else odd for text, odd in odds.items()}
    likeliest = sorted(odds, key=odds.__getitem__, reverse=True)[:MAX_CANDIDATES]
    total = 1 + sum(odds.values())
    return [(text, chance) for text in likeliest if (chance := odds[text] / total) > 0]


def find_candidates(before: str, after: str) -> list[FillCandidate]:
    """All candidates of the hole. A text may occur more than once."""
    return [*copied(before, after), *renamed(before, after), *listed(before, after)]


def features(candidates: Sequence[FillCandidate], before: str, after: str) -> Features:
    """What candidates are ranked by, `FEATURE_NAMES` in order [candidates, features]."""
    kinds = np.array([c.kind for c in candidates])
    sides = np.array([(c.before, c.after) for c in candidates], np.float32)
    of_kind = [kinds == kind for kind in Kind]
    most = np.stack([sides == sides[mine].max(axis=0, initial=0) for mine in of_kind])[
        kinds, np.arange(len(candidates))
    ]
    times = Counter(c.text for c in candidates)
    own = np.concatenate(
        (
            np.ones((len(candidates), 1)),
            np.log1p(sides),
            most,
            [(np.log(20 + c.away), np.log(times[c.text])) for c in candidates],
        ),
        axis=1,
    )
    by_kind = [own * mine[:, None] for mine in of_kind]
    shared = [
        (np.log1p(min(c.before, c.after)), np.log1p(c.same), np.log1p(c.text.count("\n")), np.log1p(len(c.text)))
        for c in candidates
    ]
    plain = [(c.above, not c.text, not c.text.strip()) for c in candidates]
    hole = [len(times), *(1 + mine.sum() for mine in of_kind), 1 + len(_typed(before))]
    around = np.tile([*np.log(hole), not _typed(before), _ends_line(after)], (len(candidates), 1))
    return np.concatenate((*by_kind, shared, plain, around), axis=1).astype(np.float32)


def score(rows: Features, weights: dict[str, Features]) -> Features:
    """Log odds against "none of them" [candidates]: a linear term plus a hidden layer with ReLU."""
    hidden = np.maximum(rows @ weights["hidden.weight"].T + weights["hidden.bias"], 0)
    scores: Features = rows @ weights["line.weight"][0] + hidden @ weights["out.weight"][0] + weights["line.bias"]
    return scores


def metadata() -> dict[str, str]:
    """What a file of weights says about the features that they belong to."""
    return {"features": json.dumps(FEATURE_NAMES)}


def load_weights(file: Path) -> dict[str, Features]:
    """The weights in `file`. Raises ModelUnusable where they were fitted to other features."""
    with safe_open(file, framework="numpy") as weights:
        stored = json.loads((weights.metadata() or {}).get("features", "[]"))
        if stored != list(FEATURE_NAMES):
            differing = sorted(set(stored) ^ set(FEATURE_NAMES)) or ["their order"]
            raise ModelUnusable(
                f"{file.name} was fitted to other features than this version computes: {', '.join(differing)}.",
                "Install Lacuna again, or fit it with `python -m training ranker`.",
            )
        return {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118 (not a mapping)


def _odds(candidates: Sequence[FillCandidate], before: str, after: str) -> dict[str, float]:
    """The odds of each text: the sum over all candidates with that text."""
    odds: dict[str, float] = {}
    if candidates:
        scores = np.exp(score(features(candidates, before, after), _weights()).astype(np.float64).clip(-50, 50))
        for candidate, odd in zip(candidates, scores.tolist(), strict=True):
            odds[candidate.text] = odds.get(candidate.text, 0.0) + odd
    return odds


@cache
def _weights() -> dict[str, Features]:
    with resources.as_file(resources.files("lacuna_inference.in_file.candidates") / WEIGHTS) as file:
        return load_weights(file)


def _typed(before: str) -> str:
    """What the hole's line holds before the hole, without blanks at its ends."""
    return before[before.rfind("\n") + 1 :].strip()


def _ends_line(after: str) -> bool:
    return not after.split("\n", 1)[0].strip()
