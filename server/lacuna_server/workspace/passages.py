"""The source text of a workspace in overlapping passages, found by the names in them. Knows nothing of syntax.

Not safe to use from several threads: `WorkspaceIndex` sees to that.
"""

from __future__ import annotations

import heapq
import math
import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

LINES, STEP = 10, 5
"""Of a passage, and from the beginning of one to that of the next."""
_STEPS = LINES // STEP
_FEWEST_NAMES, _LONGEST = 4, 1500
"""A passage with fewer names, or more bytes, is not found."""
_NAME = re.compile(r"[^\W\d]\w{2,}")
_MOST_PLACES = 1000
"""A name in more passages than these is not looked up, which would take long. It counts in comparisons."""
_COMPARED = 100
"""Passages that are compared as a whole: those that share most."""
_BYTES_OF_A_PASSAGE = 400
"""Its places in the table of names, measured."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Lines of the file at `path`, from `line` on, which counts from 0. `likeness` is from 0 to 1."""

    path: str
    line: int
    text: str
    likeness: float


class _Text:
    """The text of a file and the offsets in UTF-8 where its passages begin, with its end."""

    __slots__ = ("path", "source", "starts")

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        lines = text.encode(errors="replace").splitlines(keepends=True)
        self.source = b"".join(lines)
        self.starts = array("I", [0])
        for start in range(0, len(lines), STEP):
            self.starts.append(self.starts[-1] + sum(map(len, lines[start : start + STEP])))

    def __len__(self) -> int:
        """How many passages it has. The last one may be shorter; where it would be only a step, it is none."""
        return max(1, len(self.starts) - _STEPS)

    def passage(self, number: int) -> str:
        end = self.starts[min(number + _STEPS, len(self.starts) - 1)]
        return self.source[self.starts[number] : end].decode()

    def names(self) -> Iterator[frozenset[str]]:
        """The names in each passage, none for one that is not to be found."""
        steps = [names(self.source[start:end].decode()) for start, end in pairwise(self.starts)]
        for number in range(len(self)):
            inside = steps[number : number + _STEPS]
            length = self.starts[min(number + _STEPS, len(steps))] - self.starts[number]
            found = frozenset().union(*inside)
            yield found if len(found) >= _FEWEST_NAMES and length <= _LONGEST else frozenset()


class Passages:
    """The passages of files, of at most `most_bytes` of source text."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._texts: dict[str, _Text] = {}
        self._firsts: dict[str, int] = {}
        """The number of a file's first passage."""
        self._places: list[_Text | None] = []
        """The text that a passage is from, None once it was removed."""
        self._by_name: dict[str, array[int]] = {}
        self._source_bytes = self._removed = 0

    @property
    def bytes(self) -> int:
        """An estimate."""
        return self._source_bytes + len(self._places) * _BYTES_OF_A_PASSAGE

    def put(self, path: str, text: str) -> bool:
        """Adds a file that was not there. Returns whether there was room."""
        made = _Text(path, text)
        if self._source_bytes + len(made.source) > self._most_bytes:
            return False
        self._texts[path] = made
        self._source_bytes += len(made.source)
        self._add(made)
        return True

    def remove(self, path: str) -> None:
        text = self._texts.pop(path, None)
        if text is None:
            return
        self._source_bytes -= len(text.source)
        first = self._firsts.pop(path)
        self._places[first : first + len(text)] = [None] * len(text)
        self._removed += len(text)
        if self._removed > len(self._places) // 2:
            self._build()

    def like(self, wanted: Mapping[str, float], may_be: Callable[[str], bool], most: int) -> list[Passage]:
        """At most `most` passages that have most of the names that are `wanted`, and little else.

        Each name is wanted to some degree, up to 1. Only files whose paths `may_be` allows are looked at.
        """
        weights = {name: degree * self._weight(name) for name, degree in wanted.items()}
        total = sum(weights.values())
        shared = self._sharing(weights, may_be)
        found: list[Passage] = []
        for number in heapq.nlargest(_COMPARED, shared, key=lambda number: (shared[number], -number)):
            place = self._places[number]
            assert place is not None
            inner = number - self._firsts[place.path]
            passage = place.passage(inner)
            own = names(passage)
            both = sum(weight for name, weight in weights.items() if name in own)
            either = total + sum(map(self._weight, own)) - both
            found.append(Passage(place.path, inner * STEP, passage, both / either if either > 0 else 0.0))
        found.sort(key=lambda one: (-one.likeness, one.path, one.line))
        return _apart(found)[:most]

    def _sharing(self, weights: dict[str, float], may_be: Callable[[str], bool]) -> dict[int, float]:
        """The weight of the names that passages share with `weights`, by their numbers."""
        shared: defaultdict[int, float] = defaultdict(float)
        for name, weight in weights.items():
            numbers = self._by_name.get(name, ())
            for number in numbers if len(numbers) <= _MOST_PLACES else ():
                shared[number] += weight
        places = {number: place.path for number in shared if (place := self._places[number]) is not None}
        allowed = {path for path in set(places.values()) if may_be(path)}
        return {number: shared[number] for number, path in places.items() if path in allowed}

    def _weight(self, name: str) -> float:
        """The rarer a name, the more it says."""
        return math.log((len(self._places) + 1) / (len(self._by_name.get(name, ())) or 1))

    def _add(self, text: _Text) -> None:
        self._firsts[text.path] = len(self._places)
        for found in text.names():
            for name in found:
                self._by_name.setdefault(name, array("I")).append(len(self._places))
            self._places.append(text)

    def _build(self) -> None:
        self._firsts, self._places, self._by_name, self._removed = {}, [], {}, 0
        for text in self._texts.values():
            self._add(text)


def names(text: str) -> frozenset[str]:
    """The names and keywords in a text, but for the shortest."""
    return frozenset(_NAME.findall(text))


def _apart(found: Collection[Passage]) -> list[Passage]:
    """Those that do not overlap with one before."""
    kept: list[Passage] = []
    for one in found:
        if all(one.path != other.path or abs(one.line - other.line) >= LINES for other in kept):
            kept.append(one)
    return kept
