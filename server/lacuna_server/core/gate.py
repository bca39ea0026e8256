"""How much of a suggestion is shown: its longest beginning whose chance of being right is large enough.

The chances come from a logistic regression for each model that was measured, and from one for all others (`gate.toml`,
which `lacuna gate fit` writes).
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import accumulate

from lacuna_inference.api import Fill
from lacuna_server.core.cuts import Cut, Part, cuts
from lacuna_server.core.evidence import NAMES, evidence
from lacuna_server.core.snapshot import Snapshot

DEFAULT = "default"
"""The coefficients for models that were not measured."""
EAGERNESS = 0.5
"""What the setting of this name is by default: docs/decisions/045 has what was measured."""
_SUREST = 0.95
"""The chance that is enough however small the eagerness is."""
Corrected = Callable[[str, float], float]
"""From a model and the chance that was fitted for it to the chance for this user."""
Coefficients = Mapping[str, float]
"""By the names of the evidence, and `bias`."""


@dataclass(frozen=True, slots=True)
class Chance:
    """The chance that a suggestion is what the user will write, up to a cut."""

    cut: Cut
    right: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate decided about a suggestion.

    `chance` is that of what is shown, or else of the shortest beginning, both `judged`; `fitted` is that chance before
    it was corrected by what was learned from the user. `least` is what is asked for. `part` is how much is shown, None
    for nothing; `whole` is whether that is all.
    """

    judged: str
    chance: float
    fitted: float
    least: float
    part: Part | None
    whole: bool


def as_fitted(_model: str, chance: float) -> float:
    """The chance, if nothing was learned."""
    return chance


def judged(
    fill: Fill, text: str, snapshot: Snapshot, model: str, eagerness: float, corrected: Corrected = as_fitted
) -> tuple[str, Verdict | None]:
    """The beginning of the suggestion `text` that is shown, empty for none, and why.

    All of it, without a verdict, where its chances are not known. `corrected` knows what was learned from the user; a
    larger chance must not become smaller than another.
    """
    found = chances(fill, text, snapshot, model)
    if not found:
        return text, None
    least = threshold(eagerness)
    shown = next((one for one in reversed(found) if corrected(model, one.right) >= least), None)
    one, whole = shown or found[0], shown is found[-1]
    beginning = text if whole else text[: one.cut.end]
    verdict = Verdict(
        beginning, corrected(model, one.right), one.right, least, shown.cut.part if shown else None, whole
    )
    return beginning if shown else "", verdict


def threshold(eagerness: float) -> float:
    """The smallest chance that is shown: 0 for an eagerness of 1, and never more than what an answer can reach."""
    return min(1 - eagerness, _SUREST)


def chances(fill: Fill, text: str, snapshot: Snapshot, model: str) -> tuple[Chance, ...]:
    """The chance of each beginning of the suggestion `text`, the shortest first; none is larger than that before.

    Empty where they are not known: if the engine does not tell the probabilities of tokens, or if they are not those of
    `text`.
    """
    if not fill.token_logprobs or not fill.text.startswith(text):
        return ()
    found = cuts(text)
    fitted = coefficients_for(model)
    alone = (chance(fitted, row) for row in evidence(fill, text, found, snapshot))
    return tuple(Chance(cut, right) for cut, right in zip(found, accumulate(alone, min), strict=True))


def chance(fitted: Coefficients, row: Sequence[float]) -> float:
    """The chance of a beginning with this evidence."""
    odds = fitted["bias"] + sum(fitted[name] * value for name, value in zip(NAMES, row, strict=True))
    return 1 / (1 + math.exp(-odds))


def coefficients_for(model: str) -> Coefficients:
    """Those of the measured model whose name is in `model`, a name or a path; otherwise the default ones."""
    fits, name = _fits(), model.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
    return next((fitted for measured, fitted in fits.items() if measured in name), fits[DEFAULT])


@cache
def _fits() -> Mapping[str, Coefficients]:
    table = resources.files("lacuna_server.core").joinpath("gate.toml").read_text(encoding="utf-8")
    return tomllib.loads(table)
