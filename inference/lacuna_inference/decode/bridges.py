"""What stands elsewhere in the file between two sides like those of the hole: copies that agree with both.

A place where the text before the hole stood, and behind it one where the text after it stood: what is between them may
be what is missing here. Unlike n-grams, which only look back, a bridge tells where the hole ends, be it in the middle
of a line or after several.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

MOST_BEFORE, MOST_AFTER = 200_000, 50_000
"""Code points on each side of the hole that are looked at."""
LONGEST = 600
"""Code points of a bridge."""
COMPARED = 200
"""Code points of each side that are compared."""
_PLACES, _PAIRS, _KEPT = 2000, 20_000, 64
"""The nearest places, their pairs, and the likeliest pairs, that are looked at."""
MOST = 6
"""Bridges that are weighed against each other."""

Places = NDArray[np.int64]
Signs = NDArray[np.uint32]
_BEGINNING = re.compile(r"(\s{0,200}\S){2}")


class Bridge(NamedTuple):
    """A text that may fill the hole, and how many code points before and after it agreed."""

    text: str
    before: int
    after: int


class Fit(NamedTuple):
    """Coefficients of a conditional logit (McFadden, 1974) over the bridges and "none of them", whose score is 0."""

    one: float
    before: float
    after: float
    length: float
    lines: float
    rivals: float


FIT = Fit(one=-1.89, before=1.16, after=0.73, length=-1.36, lines=-0.36, rivals=-0.7)
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
    counts = [(b.before, b.after, 1 + len(b.text), 1 + b.text.count("\n"), len(found)) for b in found]
    return np.insert(np.log(counts), 0, 1.0, axis=1)


def bridges(before: str, after: str, fit: Fit = FIT) -> list[Bridge]:
    """Up to MOST bridges, none twice, the likeliest first."""
    before, after = before[-MOST_BEFORE:], after[:MOST_AFTER]
    found = [*_within(before, before, after, above=True), *_within(after, before, after, above=False)]
    if not found:
        return []
    best: dict[str, Bridge] = {}
    for number in np.argsort(-(features(found) @ fit), kind="stable").tolist():
        best.setdefault(found[number].text, found[number])
    return list(best.values())[:MOST]


def _within(text: str, before: str, after: str, *, above: bool) -> Iterator[Bridge]:
    """The bridges in `text`, the side of the hole `above` it or the other; the nearest to it when there are many."""
    starts, ends = _places(text, _key(before[::-1])[::-1], behind=True), _places(text, _key(after), behind=False)
    starts = starts[starts < len(text)][-_PLACES:] if above else starts[:_PLACES]
    ends = ends[-_PLACES:] if above else ends[ends > 0][:_PLACES]
    counts = np.searchsorted(ends, starts + LONGEST, side="right") - (firsts := np.searchsorted(ends, starts))
    if not counts.sum():
        return
    signs = _signs(text)
    agreed_before = _agreeing(signs[::-1], len(text) - starts, _signs(before[-COMPARED:])[::-1])
    agreed_after = _agreeing(signs, ends, _signs(after[:COMPARED]))
    counts = np.minimum(counts, max(1, _PAIRS // len(starts)))
    start = np.repeat(np.arange(len(starts)), counts)
    end = np.arange(len(start)) + np.repeat(firsts - np.cumsum(counts) + counts, counts)
    far = np.minimum(agreed_before[start], agreed_after[end])
    for pair in np.argsort(-far, kind="stable")[:_KEPT].tolist():
        i, j = start[pair], end[pair]
        yield Bridge(text[starts[i] : ends[j]], int(agreed_before[i]), int(agreed_after[j]))


def _key(text: str) -> str:
    """The beginning of `text` with the first two signs that are not blank, or nothing."""
    found = _BEGINNING.match(text)
    return found.group() if found else ""


def _places(text: str, key: str, *, behind: bool) -> Places:
    """Where `key` begins in `text`, or ends, in ascending order."""
    found = re.finditer(f"(?={re.escape(key)})", text) if key else ()
    return np.array([match.start() for match in found], np.int64) + len(key) * behind


def _signs(text: str) -> Signs:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _agreeing(signs: Signs, places: Places, with_these: Signs) -> Places:
    """How many signs from each of `places` on are `with_these`."""
    padded = np.concatenate((signs, np.zeros(len(with_these), np.uint32)))
    equal = sliding_window_view(padded, len(with_these))[places] == with_these
    agreeing: Places = np.logical_and.accumulate(equal, axis=1).sum(axis=1)
    return agreeing
