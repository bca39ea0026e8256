"""Copied fill candidates: texts whose two sides equal those of the hole, character for character."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lacuna_inference.in_file.candidates.candidate import FillCandidate, Kind

MAX_CODE_POINTS_BEFORE, MAX_CODE_POINTS_AFTER = 200_000, 50_000
"""Code points searched on each side of the hole."""
MAX_FILL_CODE_POINTS = 600
"""Code points of a candidate."""
COMPARED = 200
"""Code points of each side that are compared."""
_MAX_POSITIONS, _MAX_PAIRS, _MAX_CANDIDATES = 2000, 20_000, 64
"""Limits on the nearest positions, their pairs, and the best pairs: a text may repeat one character forever."""

Positions = NDArray[np.int64]
CodePoints = NDArray[np.uint32]
_BEGINNING = re.compile(r"(\s{0,200}\S){2}")


def copied(before: str, after: str) -> Iterator[FillCandidate]:
    """Candidates with at least two characters that agree on each side. A text may occur more than once."""
    before, after = before[-MAX_CODE_POINTS_BEFORE:], after[:MAX_CODE_POINTS_AFTER]
    yield from _within(before, before, after, above=True)
    yield from _within(after, before, after, above=False)


def paired(starts: Positions, ends: Positions, max_length: int, ends_per_start: int) -> tuple[Positions, Positions]:
    """Pairs each start with the ends up to `max_length` after it, `ends_per_start` of them at most.

    Returns the indices into `starts` and into `ends`, both [pairs].
    """
    firsts = np.searchsorted(ends, starts)
    counts = np.minimum(np.searchsorted(ends, starts + max_length, side="right") - firsts, ends_per_start)
    start = np.repeat(np.arange(len(starts)), counts)
    return start, np.arange(len(start)) + np.repeat(firsts - np.cumsum(counts) + counts, counts)


def code_points(text: str) -> CodePoints:
    """The code points of `text` [code points]."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def agreeing(text: CodePoints, positions: Positions, expected: CodePoints) -> Positions:
    """How many code points of `text` from each of `positions` on equal the start of `expected` [positions]."""
    padded = np.concatenate((text, np.zeros(len(expected), np.uint32)))
    equal = sliding_window_view(padded, len(expected))[positions] == expected
    if not equal.size:
        return np.zeros(len(positions), np.int64)
    return np.where(equal.all(axis=1), len(expected), equal.argmin(axis=1))


def _within(text: str, before: str, after: str, *, above: bool) -> Iterator[FillCandidate]:
    """The candidates in `text`, which is the side `above` the hole or the one below; the nearest if there are many."""
    key = _key(before[::-1])[::-1]
    starts = len(key) + _positions(text, key, 0, len(text) - above, last=above)
    ends = _positions(text, _key(after), not above, len(text), last=above)
    start, end = paired(starts, ends, MAX_FILL_CODE_POINTS, max(1, _MAX_PAIRS // max(1, len(starts))))
    if not len(start):
        return
    points = code_points(text)
    agreed_before = agreeing(points[::-1], len(text) - starts, code_points(before[-COMPARED:])[::-1])
    agreed_after = agreeing(points, ends, code_points(after[:COMPARED]))
    away = len(text) - starts if above else starts
    weaker_side = np.minimum(agreed_before[start], agreed_after[end])
    for pair in np.argsort(-weaker_side, kind="stable")[:_MAX_CANDIDATES].tolist():
        i, j = start[pair], end[pair]
        counts = (int(agreed_before[i]), int(agreed_after[j]), 0, int(away[i]))
        yield FillCandidate(Kind.COPIED, text[starts[i] : ends[j]], *counts, above)


def _key(text: str) -> str:
    """The beginning of `text` up to its second character that is not whitespace, or nothing."""
    match = _BEGINNING.match(text)
    return match.group() if match else ""


def _positions(text: str, key: str, low: int, high: int, *, last: bool) -> Positions:
    """Where `key` occurs in `text[low:high]`, in ascending order: the first or the last `_MAX_POSITIONS`."""
    positions: list[int] = []
    position = _next(text, key, low, high, last) if key else -1
    while position >= 0 and len(positions) < _MAX_POSITIONS:
        positions.append(position)
        low, high = (low, position + len(key) - 1) if last else (position + 1, high)
        position = _next(text, key, low, high, last)
    return np.array(positions[::-1] if last else positions, np.int64)


def _next(text: str, key: str, low: int, high: int, last: bool) -> int:
    return text.rfind(key, low, high) if last else text.find(key, low, high)
