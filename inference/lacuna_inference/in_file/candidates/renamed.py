"""Bridges whose names are other ones: the text between sides that are like the hole's but for what is called how.

What clone detection calls a clone of type 2 (Roy and Cordy, 2007). Code is written from such copies: the names in which
the sides differ tell how those in between have to be replaced.
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
"""Code points on each side of the hole that are looked at."""
MAX_SIDE_TOKENS = 150
"""Tokens of a bridge."""
COMPARED = 60
"""Tokens of each side that are compared."""
_KEY = 3
"""Tokens of each side that must be alike, at least."""
_STEP = 4096
"""Code points by which what is looked at moves in a long text, so that most keys leave its beginning where it is."""
_STEP_IN_LINE = 1024
"""The same for the end of a long line, which every key changes."""
_PLACES, _ENDS, _KEPT = 500, 6, 16
"""The nearest places where a bridge may begin, those where each may end, and the likeliest of all."""

Ids = NDArray[np.int64]
_TOKEN = re.compile(r"[^\W\d]\w*|\d\w*|\n[ \t]*|[ \t]+|.", re.DOTALL)
_NEWLINE, _ALONE = re.compile("\n"), re.compile(r"[^\w\s]")
"""A sign that is a token, whatever stands beside it."""
_LAST_WORD, _FIRST_WORD = re.compile(r"\w+\Z"), re.compile(r"\A\w+")
_MAX_WORD_CODE_POINTS = 100
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|_+|.", re.DOTALL)
_FIXED = frozenset({*keyword.kwlist, "self", "cls"})
"""Words that are no names."""


def renamed(before: str, after: str) -> Iterator[FillCandidate]:
    """Bridges between sides that are alike, counted in tokens. Words that the hole cuts in two are taken whole."""
    healed_prefix, rest = (
        _found(_LAST_WORD, before[-_MAX_WORD_CODE_POINTS:]),
        _found(_FIRST_WORD, after[:_MAX_WORD_CODE_POINTS]),
    )
    first = _read_before(before[: len(before) - len(healed_prefix)])
    last = _read(after[len(rest) :][:MAX_CODE_POINTS_AFTER])
    for side, above in ((first, True), (last, False)):
        for start, end, pairs, counts in _pairs(side, first, last, above):
            names = _Names(pairs)
            text = "".join(names.of(token) for token in side.tokens[start:end])
            if len(text) >= len(healed_prefix + rest) and text.startswith(healed_prefix) and text.endswith(rest):
                filling = text[len(healed_prefix) : len(text) - len(rest)]
                away = len(side.tokens) - start if above else start
                yield FillCandidate(Kind.RENAMED, filling, *counts, away, above)


class _Names:
    """How names are replaced, and parts of names, as `pairs` of them show; the first of each counts."""

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
            for place in range(len(parts) - len(old) + 1):
                if parts[place : place + len(old)] == old:
                    return "".join((*parts[:place], *new, *parts[place + len(old) :]))
        return token

    def _learn(self, old: tuple[str, ...], new: tuple[str, ...]) -> None:
        """What differs between the parts of two names, in every way to write it: `get_size` and `get_age`, `size`."""
        start = _common(old, new)
        end = _common(old[start:][::-1], new[start:][::-1])
        old, new = old[start : len(old) - end], new[start : len(new) - end]
        if old and new and old != ("_",) and new != ("_",):
            for written in (str, str.lower, str.capitalize, str.upper):
                self._parts.setdefault(tuple(map(written, old)), tuple(map(written, new)))


class _Side(NamedTuple):
    """The tokens of one side, numbers that tell them apart, and numbers of what is alike."""

    tokens: list[str]
    ids: Ids
    kinds: Ids


@lru_cache(8)
def _read(text: str) -> _Side:
    """A text that is read again while another one is typed in costs nothing."""
    tokens = _TOKEN.findall(text)
    ids, kinds = (np.fromiter(map(hash, part), np.int64, len(tokens)) for part in (tokens, map(_kind, tokens)))
    return _Side(tokens, ids, kinds)


def _read_before(text: str) -> _Side:
    """The end of `text`, read in three parts: most keys change the last one only, and that is short."""
    start = _start(text)
    line = max(start, text.rfind("\n", start))
    border = _border(text, line, (len(text) // _STEP_IN_LINE - 1) * _STEP_IN_LINE)
    one, two, three = _read(text[start:line]), _read(text[line:border]), _read(text[border:])
    return _Side(
        one.tokens + two.tokens + three.tokens,
        np.concatenate((one.ids, two.ids, three.ids)),
        np.concatenate((one.kinds, two.kinds, three.kinds)),
    )


def _start(text: str) -> int:
    """Where to begin, within MOST_BEFORE: the same place while a few lines are typed, at a line's start if one is near.

    Else behind a sign that is a token by itself: lines may be longer than any text that should be read at a key.
    """
    start = -(-max(0, len(text) - MAX_CODE_POINTS_BEFORE) // _STEP) * _STEP
    near = _NEWLINE.search(text, start, start + _STEP) or _ALONE.search(text, start, start + _STEP)
    return near.end() if start and near else start


def _border(text: str, low: int, high: int) -> int:
    """The last place in `text[low:high]` behind a sign that is a token by itself; `low` when there is none."""
    last = _ALONE.search(text[low:high][::-1]) if low < high else None
    return high - last.start() if last else low


def _pairs(
    side: _Side, first: _Side, last: _Side, above: bool
) -> Iterator[tuple[int, int, list[tuple[str, str]], tuple[int, int, int]]]:
    """Start and end of bridges in one side of the hole; the names beside them and those beside the hole, the nearest
    first; how many tokens before and after are alike, and how many of them are the same.
    """
    tokens, ids, like = side
    ids_before, ids_after = first.ids[: -COMPARED - 1 : -1], last.ids[:COMPARED]
    like_before, like_after = first.kinds[: -COMPARED - 1 : -1], last.kinds[:COMPARED]
    if min(len(ids_before), len(ids_after)) < _KEY:
        return
    starts = len(tokens) - _places(like[::-1], like_before)[::-1]
    ends = _places(like, like_after)
    starts = starts[starts < len(tokens)][-_PLACES:] if above else starts[:_PLACES]
    ends = ends if above else ends[ends > 0]
    start, end = paired(starts, ends, MAX_SIDE_TOKENS, _ENDS)
    if not len(start):
        return
    used, end = np.unique(end, return_inverse=True)
    alike_before, same_before = _alike(like[::-1], ids[::-1], len(tokens) - starts, like_before, ids_before)
    alike_after, same_after = _alike(like, ids, ends[used], like_after, ids_after)
    same = np.minimum(same_before[start], same_after[end])
    score = 2 * same + np.minimum(alike_before[start], alike_after[end])
    for pair in np.argsort(-score, kind="stable")[:_KEPT].tolist():
        i, j = int(start[pair]), int(end[pair])
        at, until = int(starts[i]), int(ends[used[j]])
        before, after = int(alike_before[i]), int(alike_after[j])
        old = [*tokens[at - before : at][::-1], *tokens[until : until + after]]
        new = [*first.tokens[: -before - 1 : -1], *last.tokens[:after]]
        far = [*range(before), *range(after)]
        names = [(old[n], new[n]) for n in sorted(range(len(old)), key=far.__getitem__) if _kind(old[n]) == _NAME]
        yield at, until, names, (before, after, int(same_before[i] + same_after[j]))


def _places(like: Ids, key: Ids) -> Ids:
    """Where the first `_KEY` of `key` begin in `like`, in ascending order."""
    count = len(like) - _KEY + 1
    if count < 1:
        return np.zeros(0, np.int64)
    equal = [like[n : n + count] == key[n] for n in range(_KEY)]
    places: Ids = np.flatnonzero(np.logical_and.reduce(equal))
    return places


def _alike(like: Ids, ids: Ids, places: Ids, like_these: Ids, these: Ids) -> tuple[Ids, Ids]:
    """How many tokens from each of `places` on are like `these`, and how many of them are the same."""
    alike = np.logical_and.accumulate(_windows(like, len(these))[places] == like_these, axis=1)
    same = alike & (_windows(ids, len(these))[places] == these)
    return alike.sum(axis=1), same.sum(axis=1)


def _windows(ids: Ids, length: int) -> Ids:
    """The next `length` ids from each place on [places, length], nothing being -1."""
    return sliding_window_view(np.concatenate((ids, np.full(length, -1))), length)


_NAME = "a name"


@lru_cache(10_000)
def _kind(token: str) -> str:
    """What tokens that are alike have in common."""
    if token in _FIXED or not token.isidentifier():
        return "0" if token.isdigit() else token
    return _NAME


@lru_cache(10_000)
def _parts(name: str) -> tuple[str, ...]:
    return tuple(_PART.findall(name))


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many elements are the same from the start on."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match.group() if match else ""
