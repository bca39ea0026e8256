"""Suggestions that were made before, found again for the same text, also when a part of one has been typed since."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from lacuna_server.core.snapshot import Snapshot

CAPACITY = 100


@dataclass(frozen=True, slots=True)
class _Place:
    """The text around a cursor: only hashes of it, because a hundred copies of a large file are no small thing."""

    length: int
    prefix: int
    suffix: int


class Cache:
    """Suggestions by the whole text around their cursor, `CAPACITY` of them, those that were of use last kept longest.

    A trie of prefixes would find the longest one in a single walk; here each entry is looked at, and all but a few fall
    out by their suffix or by the text that has been typed behind them. That takes microseconds.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[_Place, tuple[str, ...]] = OrderedDict()

    def put(self, snapshot: Snapshot, suggestions: tuple[str, ...]) -> None:
        """Keeps what was suggested at this cursor; no suggestions are an answer, too."""
        prefix = snapshot.prefix
        place = _Place(len(prefix), hash(prefix), hash(snapshot.suffix))
        self._entries[place] = suggestions
        self._entries.move_to_end(place)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def find(self, snapshot: Snapshot) -> tuple[str, ...] | None:
        """What is left of earlier suggestions that agree with what has been typed since; None when there are none.

        The suffix must be the same. The suggestions that were made nearest to the cursor count.
        """
        prefix, suffix = snapshot.prefix, hash(snapshot.suffix)
        alike = [place for place in self._entries if place.suffix == suffix and place.length <= len(prefix)]
        for place in sorted(alike, key=lambda place: -place.length):
            typed = prefix[place.length :]
            suggestions = self._entries[place]
            left = tuple(s.removeprefix(typed) for s in suggestions if s.startswith(typed) and s != typed)
            if (left or (not typed and not suggestions)) and hash(prefix[: place.length]) == place.prefix:
                self._entries.move_to_end(place)
                return left
        return None

    def clear(self) -> None:
        self._entries.clear()
