"""A cache of suggestions, also found after a part of one has been typed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import NamedTuple

from lacuna_server.core.service import Suggestions
from lacuna_server.core.snapshot import Snapshot

CAPACITY = 100


class _CursorContext(NamedTuple):
    """The text around a cursor, as hashes: a hundred copies of a large file would take much memory.

    A tuple, because every keystroke scans all of them.
    """

    document: str
    length: int
    prefix: int
    suffix: int


class AnswerCache:
    """An LRU cache of suggestions, keyed by the whole text around the cursor. `CAPACITY` entries by default.

    A trie of prefixes would find the longest one in a single walk. A scan over the entries is enough: all but a few
    are ruled out by their suffix or by the text typed since. It takes microseconds.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[_CursorContext, Suggestions] = OrderedDict()

    def put(self, snapshot: Snapshot, answer: Suggestions) -> None:
        """Stores the answer for this cursor. An answer without suggestions is stored, too."""
        prefix = snapshot.prefix
        context = _CursorContext(snapshot.document_id, len(prefix), hash(prefix), hash(snapshot.suffix))
        self._entries[context] = answer
        self._entries.move_to_end(context)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def find(self, snapshot: Snapshot) -> Suggestions | None:
        """The rest of an earlier answer in this document that agrees with what has been typed since, or None.

        The suffix must be the same. Of several answers, the one made closest to the cursor is used.
        """
        prefix, suffix = snapshot.prefix, hash(snapshot.suffix)
        same_suffix = [c for c in self._entries if (c.document, c.suffix) == (snapshot.document_id, suffix)]
        for context in sorted((c for c in same_suffix if c.length <= len(prefix)), key=lambda c: -c.length):
            typed = prefix[context.length :].replace("\r\n", "\n")
            answer = self._entries[context]
            rest = tuple(s.removeprefix(typed) for s in answer.texts if s.startswith(typed) and s != typed)
            if (rest or (not typed and not answer.texts)) and hash(prefix[: context.length]) == context.prefix:
                self._entries.move_to_end(context)
                return replace(answer, texts=rest)
        return None

    def clear(self) -> None:
        self._entries.clear()
