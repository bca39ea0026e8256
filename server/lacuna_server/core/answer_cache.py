"""Suggestions that were made before, found again for the same text, also when a part of one has been typed since."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import NamedTuple

from lacuna_server.core.service import Suggestions
from lacuna_server.core.snapshot import Snapshot

CAPACITY = 100


class _CursorContext(NamedTuple):
    """The text around a cursor: only hashes of it, because a hundred copies of a large file are no small thing.

    A tuple, because all of them are looked at for every key.
    """

    document: str
    length: int
    prefix: int
    suffix: int


class AnswerCache:
    """Suggestions by the whole text around their cursor, `CAPACITY` of them, those that were of use last kept longest.

    A trie of prefixes would find the longest one in a single walk; here each entry is looked at, and all but a few fall
    out by their suffix or by the text that has been typed behind them. That takes microseconds.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[_CursorContext, Suggestions] = OrderedDict()

    def put(self, snapshot: Snapshot, answer: Suggestions) -> None:
        """Keeps what was answered at this cursor; that nothing is suggested is an answer, too."""
        prefix = snapshot.prefix
        place = _CursorContext(snapshot.document_id, len(prefix), hash(prefix), hash(snapshot.suffix))
        self._entries[place] = answer
        self._entries.move_to_end(place)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def find(self, snapshot: Snapshot) -> Suggestions | None:
        """What is left of an earlier answer in this document that agrees with what has been typed since, or None.

        The suffix must be the same. The answer that was made nearest to the cursor counts.
        """
        prefix, suffix = snapshot.prefix, hash(snapshot.suffix)
        alike = [p for p in self._entries if (p.document, p.suffix) == (snapshot.document_id, suffix)]
        for place in sorted((p for p in alike if p.length <= len(prefix)), key=lambda place: -place.length):
            typed = prefix[place.length :].replace("\r\n", "\n")
            answer = self._entries[place]
            left = tuple(s.removeprefix(typed) for s in answer.texts if s.startswith(typed) and s != typed)
            if (left or (not typed and not answer.texts)) and hash(prefix[: place.length]) == place.prefix:
                self._entries.move_to_end(place)
                return replace(answer, texts=left)
        return None

    def clear(self) -> None:
        self._entries.clear()
