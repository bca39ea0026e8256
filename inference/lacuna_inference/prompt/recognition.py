"""Recognizes a model's prompt family by its tokens, its name and its type."""

from __future__ import annotations

import re
from collections.abc import Collection, Container
from dataclasses import dataclass

from lacuna_inference.prompt.families import FAMILIES, Family

_UNTRAINED = ("opencoder", "replit-code", "mamba-codestral")
_UNTRAINED_TYPES = ("mamba", "mamba2")
"""Names and types of models that have a family's sentinels but were not trained to fill holes."""
_CHAT_TUNED = ("instruct", "chat", "it")
_INFILL_TOKEN = re.compile(
    r"<[|｜\[]?(fim|code)[-_▁](prefix|suffix|middle|begin|hole|end)[|｜\]]?>"
    r"|▁?<(AIX-SPAN-)?(PRE|POST|SUF|MID|MIDDLE)>|\[(PREFIX|SUFFIX|MIDDLE)\]|<\|(pre|suf|mid|prefix|suffix|middle)\|>|<\|mask:0\|>|<mask_1>"
)

_BY_TOKENS = 2
"""The rank of a family that only the tokens match."""


@dataclass(frozen=True, slots=True)
class Traits:
    """A model's `model_type` from its config, and the name of its folder or hub id in lower case."""

    model_type: str
    name: str


def recognize(vocabulary: Container[str], traits: Traits) -> Family | None:
    """The family of a model with these tokens, or None.

    Families that can infill come first. Then a match by name wins over one by type, that over one by tokens alone, and
    the order of the table decides the rest.
    """
    if _untrained(traits):
        return None
    fitting = [family for family in FAMILIES if all(sentinel in vocabulary for sentinel in family.sentinels)]
    ranked = [(family.infill is None, _rank(family, traits), family) for family in fitting]
    matches = [(left_to_right, rank, family) for left_to_right, rank, family in ranked if rank is not None]
    return min(matches, key=lambda match: (match[0], match[1]))[2] if matches else None


def infill_tokens(vocabulary: Collection[str]) -> list[str]:
    """The tokens that look like infilling sentinels, sorted. A model of an unknown family may have some."""
    return sorted(token for token in vocabulary if _INFILL_TOKEN.fullmatch(token))


def doubt(family: Family | None, vocabulary: Collection[str], traits: Traits) -> str | None:
    """Why `family`, as returned by `recognize`, may be wrong; None if it is reasonably certain."""
    if family is None or family.infill is None:
        sentinels = infill_tokens(vocabulary)
        if not sentinels or _untrained(traits):
            return None
        return f"its infilling tokens ({', '.join(sentinels[:3])}) belong to no known family, so the suffix is ignored"
    if family.doubt or _rank(family, traits) != _BY_TOKENS:
        return family.doubt or None
    same, layout = set(family.sentinels), family.infill
    others = [other.name for other in FAMILIES if set(other.sentinels) == same and other.infill != layout]
    return f"{' and '.join(others)} share its tokens in another layout" if others else None


def is_chat_tuned(traits: Traits) -> bool:
    """Whether the name is that of a model tuned to answer people, such as `Qwen2.5-Coder-7B-Instruct`."""
    return any(_has_word(traits.name, word) for word in _CHAT_TUNED)


def _rank(family: Family, traits: Traits) -> int | None:
    """How well the traits match a family whose tokens match, 0 being the best; None if they do not."""
    if any(_has_word(traits.name, word) for word in family.names):
        return 0
    if traits.model_type in family.model_types:
        return 1
    return _BY_TOKENS if family.identified_by_tokens else None


def _untrained(traits: Traits) -> bool:
    return traits.model_type in _UNTRAINED_TYPES or any(_has_word(traits.name, word) for word in _UNTRAINED)


def _has_word(name: str, word: str) -> bool:
    """Whether `name` contains `word` as a whole word: `refact-1_6b` has refact, `refactoring` does not."""
    return re.search(rf"(?<![a-z]){re.escape(word)}(?![a-z])", name) is not None
