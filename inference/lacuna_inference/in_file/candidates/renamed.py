"""Renamed fill candidates: texts whose two sides equal the hole's except for names.

Clone detection calls this a type-2 clone (Roy and Cordy, 2007). Code is written from such copies: the names in which
the sides differ show how to replace the names between them.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lacuna_inference.in_file.candidates.candidate import FillCandidate, Kind
from lacuna_inference.in_file.candidates.copied import paired

MAX_CODE_POINTS_BEFORE, MAX_CODE_POINTS_AFTER = 40_000, 20_000
"""Code points searched on each side of the hole."""
MAX_FILL_TOKENS = 150
"""Tokens of a candidate."""
COMPARED = 60
"""Tokens of each side that are compared."""
_KEY = 3
"""Tokens of each side that must be alike at least."""
_STEP = 4096
"""Code points by which the searched part of a long text moves, so that most keystrokes leave its start unchanged."""
_STEP_IN_LINE = 1024
"""The same for the end of a long line, which every keystroke changes."""
_MAX_STARTS, _ENDS_PER_START, _MAX_CANDIDATES = 500, 6, 16
"""Limits on the nearest starts of a candidate, the ends of each start, and the best candidates."""

Ids = NDArray[np.int64]
_TOKEN = re.compile(r"[^\W\d]\w*|\d\w*|\n[ \t]*|[ \t]+|.", re.DOTALL)
_NEWLINE, _SINGLE = re.compile("\n"), re.compile(r"[^\w\s]")
"""`_SINGLE` is a character that is a token of its own, whatever its neighbours are."""
_LAST_WORD, _FIRST_WORD = re.compile(r"\w+\Z"), re.compile(r"\A\w+")
_MAX_WORD_CODE_POINTS = 100
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|_+|.", re.DOTALL)
_FIXED = frozenset({*keyword.kwlist, "self", "cls"})
"""Identifiers that are not treated as names."""


def renamed(before: str, after: str) -> Iterator[FillCandidate]:
    """Candidates between sides that are alike, in tokens. Words that the hole cuts in two count as a whole."""
    word_start = _matched(_LAST_WORD, before[-_MAX_WORD_CODE_POINTS:])
    word_end = _matched(_FIRST_WORD, after[:_MAX_WORD_CODE_POINTS])
    first = _read_before(before[: len(before) - len(word_start)])
    last = _read(after[len(word_end) :][:MAX_CODE_POINTS_AFTER])
    for side, above in ((first, True), (last, False)):
        for start, end, pairs, counts in _pairs(side, first, last, above):
            names = _Names(pairs)
            text = "".join(names.of(token) for token in side.tokens[start:end])
            if len(text) >= len(word_start + word_end) and text.startswith(word_start) and text.endswith(word_end):
                filling = text[len(word_start) : len(text) - len(word_end)]
                away = len(side.tokens) - start if above else start
                yield FillCandidate(Kind.RENAMED, filling, *counts, away, above)


class _Names:
    """Replaces names and parts of names as `pairs` (old, new) show. The first pair for a name wins."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._words: dict[str, str] = {}
        self._parts: dict[tuple[str, ...], tuple[str, ...]] = {}
        for old, new in pairs:
            if self._words.setdefault(old, new) == new:
                self._learn(_parts(old), _parts(new))

    def of(self, token: str) -> str:
        if token in self._words:
            return self._words[token]
        if not self._parts or token in _FIXED or not token.isidentifier():
            return token
        parts = _parts(token)
        for old, new in self._parts.items():
            for start in range(len(parts) - len(old) + 1):
                if parts[start : start + len(old)] == old:
                    return "".join((*parts[:start], *new, *parts[start + len(old) :]))
        return token

    def _learn(self, old: tuple[str, ...], new: tuple[str, ...]) -> None:
        """Learns what differs between the parts of two names, in every case: `get_size` and `get_age` give `size`."""
        start = _common_length(old, new)
        end = _common_length(old[start:][::-1], new[start:][::-1])
        old, new = old[start : len(old) - end], new[start : len(new) - end]
        if old and new and old != ("_",) and new != ("_",):
            for change_case in (str, str.lower, str.capitalize, str.upper):
                self._parts.setdefault(tuple(map(change_case, old)), tuple(map(change_case, new)))


class _Side(NamedTuple):
    """The tokens of one side. Equal tokens have equal `ids`, alike tokens (two names) equal `kinds`."""

    tokens: list[str]
    ids: Ids
    kinds: Ids


@lru_cache(8)
def _read(text: str) -> _Side:
    """Cached: a text that stays the same while the user types elsewhere is not read again."""
    tokens = _TOKEN.findall(text)
    ids, kinds = (np.fromiter(map(hash, part), np.int64, len(tokens)) for part in (tokens, map(_kind, tokens)))
    return _Side(tokens, ids, kinds)


def _read_before(text: str) -> _Side:
    """The end of `text`, read in three parts: most keystrokes change only the last one, which is short."""
    start = _start(text)
    line = max(start, text.rfind("\n", start))
    boundary = _boundary(text, line, (len(text) // _STEP_IN_LINE - 1) * _STEP_IN_LINE)
    above, line_start, line_end = _read(text[start:line]), _read(text[line:boundary]), _read(text[boundary:])
    return _Side(
        above.tokens + line_start.tokens + line_end.tokens,
        np.concatenate((above.ids, line_start.ids, line_end.ids)),
        np.concatenate((above.kinds, line_start.kinds, line_end.kinds)),
    )


def _start(text: str) -> int:
    """Where reading starts, within MAX_CODE_POINTS_BEFORE. It stays the same while a few lines are typed.

    It is a line's start if one is near, otherwise after a single-character token: a line may be longer than any text
    that should be read at a keystroke.
    """
    start = -(-max(0, len(text) - MAX_CODE_POINTS_BEFORE) // _STEP) * _STEP
    near = _NEWLINE.search(text, start, start + _STEP) or _SINGLE.search(text, start, start + _STEP)
    return near.end() if start and near else start


def _boundary(text: str, low: int, high: int) -> int:
    """The last position in `text[low:high]` after a single-character token; `low` if there is none."""
    last = _SINGLE.search(text[low:high][::-1]) if low < high else None
    return high - last.start() if last else low


def _pairs(
    side: _Side, first: _Side, last: _Side, above: bool
) -> Iterator[tuple[int, int, list[tuple[str, str]], tuple[int, int, int]]]:
    """The candidates in one side of the hole, each as (start, end, name pairs, counts).

    The name pairs match names around the candidate with names around the hole, the nearest first. The counts are the
    alike tokens before and after, and how many of them are the same.
    """
    tokens, ids, kinds = side
    ids_before, ids_after = first.ids[: -COMPARED - 1 : -1], last.ids[:COMPARED]
    kinds_before, kinds_after = first.kinds[: -COMPARED - 1 : -1], last.kinds[:COMPARED]
    if min(len(ids_before), len(ids_after)) < _KEY:
        return
    starts = len(tokens) - _positions(kinds[::-1], kinds_before)[::-1]
    ends = _positions(kinds, kinds_after)
    starts = starts[starts < len(tokens)][-_MAX_STARTS:] if above else starts[:_MAX_STARTS]
    ends = ends if above else ends[ends > 0]
    start, end = paired(starts, ends, MAX_FILL_TOKENS, _ENDS_PER_START)
    if not len(start):
        return
    used, end = np.unique(end, return_inverse=True)
    alike_before, same_before = _alike(kinds[::-1], ids[::-1], len(tokens) - starts, kinds_before, ids_before)
    alike_after, same_after = _alike(kinds, ids, ends[used], kinds_after, ids_after)
    same = np.minimum(same_before[start], same_after[end])
    score = 2 * same + np.minimum(alike_before[start], alike_after[end])
    for pair in np.argsort(-score, kind="stable")[:_MAX_CANDIDATES].tolist():
        i, j = int(start[pair]), int(end[pair])
        first_token, end_token = int(starts[i]), int(ends[used[j]])
        before, after = int(alike_before[i]), int(alike_after[j])
        old = [*tokens[first_token - before : first_token][::-1], *tokens[end_token : end_token + after]]
        new = [*first.tokens[: -before - 1 : -1], *last.tokens[:after]]
        distance = [*range(before), *range(after)]
        names = [(old[n], new[n]) for n in sorted(range(len(old)), key=distance.__getitem__) if _kind(old[n]) == _NAME]
        yield first_token, end_token, names, (before, after, int(same_before[i] + same_after[j]))


def _positions(kinds: Ids, key: Ids) -> Ids:
    """Where the first `_KEY` of `key` occur in `kinds`, in ascending order."""
    count = len(kinds) - _KEY + 1
    if count < 1:
        return np.zeros(0, np.int64)
    equal = [kinds[n : n + count] == key[n] for n in range(_KEY)]
    positions: Ids = np.flatnonzero(np.logical_and.reduce(equal))
    return positions


def _alike(kinds: Ids, ids: Ids, positions: Ids, expected_kinds: Ids, expected_ids: Ids) -> tuple[Ids, Ids]:
    """How many tokens from each of `positions` on are alike what is expected, and how many of them are the same."""
    alike = np.logical_and.accumulate(_windows(kinds, len(expected_ids))[positions] == expected_kinds, axis=1)
    same = alike & (_windows(ids, len(expected_ids))[positions] == expected_ids)
    return alike.sum(axis=1), same.sum(axis=1)


def _windows(ids: Ids, length: int) -> Ids:
    """The next `length` ids from each position on [positions, length], padded with -1."""
    return sliding_window_view(np.concatenate((ids, np.full(length, -1))), length)


_NAME = "a name"


@lru_cache(10_000)
def _kind(token: str) -> str:
    """The class of alike tokens that `token` belongs to: all names, all numbers, or the token itself."""
    if token in _FIXED or not token.isidentifier():
        return "0" if token.isdigit() else token
    return _NAME


@lru_cache(10_000)
def _parts(name: str) -> tuple[str, ...]:
    return tuple(_PART.findall(name))


def _common_length(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the common beginning."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _matched(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match.group() if match else ""
