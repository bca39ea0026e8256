"""Bridges that stand in the file: the text between sides that are those of the hole, sign for sign."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lacuna_inference.in_file.candidates.candidate import FillCandidate, Kind

MAX_CODE_POINTS_BEFORE, MAX_CODE_POINTS_AFTER = 200_000, 50_000
"""Code points on each side of the hole that are looked at."""
MAX_FILL_CODE_POINTS = 600
"""Code points of a bridge."""
COMPARED = 200
"""Code points of each side that are compared."""
_PLACES, _PAIRS, _KEPT = 2000, 20_000, 64
"""The nearest places, their pairs, and the likeliest pairs, that are looked at: a text may repeat one sign for ever."""

Places = NDArray[np.int64]
Signs = NDArray[np.uint32]
_BEGINNING = re.compile(r"(\s{0,200}\S){2}")


def copied(before: str, after: str) -> Iterator[FillCandidate]:
    """Bridges between the same two signs or more on each side, which are counted; a text may come more than once."""
    before, after = before[-MAX_CODE_POINTS_BEFORE:], after[:MAX_CODE_POINTS_AFTER]
    yield from _within(before, before, after, above=True)
    yield from _within(after, before, after, above=False)


def paired(starts: Places, ends: Places, longest: int, most: int) -> tuple[Places, Places]:
    """Numbers of one of `starts` and one of `ends` [pairs] that is up to `longest` behind it; `most` ends for each."""
    firsts = np.searchsorted(ends, starts)
    counts = np.minimum(np.searchsorted(ends, starts + longest, side="right") - firsts, most)
    start = np.repeat(np.arange(len(starts)), counts)
    return start, np.arange(len(start)) + np.repeat(firsts - np.cumsum(counts) + counts, counts)


def code_points(text: str) -> Signs:
    """The code points of `text` [code points]."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def agreeing(these: Signs, places: Places, with_these: Signs) -> Places:
    """How many signs from each of `places` on are `with_these` [places]."""
    padded = np.concatenate((these, np.zeros(len(with_these), np.uint32)))
    equal = sliding_window_view(padded, len(with_these))[places] == with_these
    if not equal.size:
        return np.zeros(len(places), np.int64)
    return np.where(equal.all(axis=1), len(with_these), equal.argmin(axis=1))


def _within(text: str, before: str, after: str, *, above: bool) -> Iterator[FillCandidate]:
    """The bridges in `text`, the side of the hole `above` it or the other; the nearest to it when there are many."""
    key = _key(before[::-1])[::-1]
    starts = len(key) + _places(text, key, 0, len(text) - above, last=above)
    ends = _places(text, _key(after), not above, len(text), last=above)
    start, end = paired(starts, ends, MAX_FILL_CODE_POINTS, max(1, _PAIRS // max(1, len(starts))))
    if not len(start):
        return
    these = code_points(text)
    agreed_before = agreeing(these[::-1], len(text) - starts, code_points(before[-COMPARED:])[::-1])
    agreed_after = agreeing(these, ends, code_points(after[:COMPARED]))
    away = len(text) - starts if above else starts
    far = np.minimum(agreed_before[start], agreed_after[end])
    for pair in np.argsort(-far, kind="stable")[:_KEPT].tolist():
        i, j = start[pair], end[pair]
        counts = (int(agreed_before[i]), int(agreed_after[j]), 0, int(away[i]))
        yield FillCandidate(Kind.COPIED, text[starts[i] : ends[j]], *counts, above)


def _key(text: str) -> str:
    """The beginning of `text` with the first two signs that are not blank, or nothing."""
    found = _BEGINNING.match(text)
    return found.group() if found else ""


def _places(text: str, key: str, low: int, high: int, *, last: bool) -> Places:
    """Where `key` begins in `text[low:high]`, in ascending order: the first places or the last ones, not too many."""
    places: list[int] = []
    place = _next(text, key, low, high, last) if key else -1
    while place >= 0 and len(places) < _PLACES:
        places.append(place)
        low, high = (low, place + len(key) - 1) if last else (place + 1, high)
        place = _next(text, key, low, high, last)
    return np.array(places[::-1] if last else places, np.int64)


def _next(text: str, key: str, low: int, high: int, last: bool) -> int:
    return text.rfind(key, low, high) if last else text.find(key, low, high)
