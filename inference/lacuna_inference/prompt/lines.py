"""Token ids of texts, line by line: lines that were tokenised before are not tokenised again.

A text is remembered in chunks of a few lines. Where a chunk ends depends only on the lines themselves, so an edit, a
cursor that moves, or a window that moves over a long file changes the chunks at its edges and no others, as in
content-defined chunking (Muthitacharoen, Chen and Mazieres, 2001).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

MAX_LINE_CODE_POINTS = 1000
"""Characters of a line; of a longer one only the end is tokenised."""
MAX_CACHE_BYTES = 2_000_000
"""UTF-8 bytes of all chunks that are remembered: some eight files of the size that one request looks at."""
_UNLIKELY, _MAX_LINES = np.uint64(2**60), 64
"""A line whose hash is smaller, one in 16, ends a chunk; lines of a chunk where none of them is."""
_LINE_AND_ENDS = re.compile(r"[^\n]*\n+|[^\n]+")
_NEWLINE = ord("\n")
_WEIGHTS = np.random.default_rng(0).integers(0, 2**64, 256, np.uint64)
"""What each byte adds to the hash of its line, modulo 2 ** 64."""


class LineEncoder:
    """Tokenises every line, with the line ends behind it, by itself."""

    def __init__(self, encode_all: Callable[[Sequence[str]], Sequence[Sequence[int]]]) -> None:
        """`encode_all` gives the ids of each of many lines; it is called once for all that are new in a text."""
        self._encode_all = encode_all
        self._known: OrderedDict[bytes, Ids] = OrderedDict()
        self._bytes = 0

    def encode(self, text: str) -> Ids:
        """The ids of `text` [tokens]. Of a very long line only the end counts."""
        chunks = _chunks(text)
        self._learn([chunk for chunk in dict.fromkeys(chunks) if chunk not in self._known])
        found = [self._known[chunk] for chunk in chunks]
        for chunk in chunks:
            self._known.move_to_end(chunk)
        self._forget()
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def _learn(self, chunks: Sequence[bytes]) -> None:
        lines = [_LINE_AND_ENDS.findall(chunk.decode()) for chunk in chunks]
        new = list(dict.fromkeys(line for chunk in lines for line in chunk))
        ids = dict(zip(new, self._encode_all(new), strict=True)) if new else {}
        for chunk, parts in zip(chunks, lines, strict=True):
            self._known[chunk] = np.array([token for line in parts for token in ids[line]], np.int64)
            self._bytes += len(chunk)

    def _forget(self) -> None:
        """Drops what was used longest ago, while there is too much."""
        while self._bytes > MAX_CACHE_BYTES:
            chunk, _ = self._known.popitem(last=False)
            self._bytes -= len(chunk)


def _chunks(text: str) -> list[bytes]:
    """`text` in chunks of whole lines, in UTF-8."""
    data = text.encode()
    return [_shortened(data[start:end]) for start, end in pairwise(_borders(data))]


def _shortened(chunk: bytes) -> bytes:
    """The end of a line that is too long."""
    if len(chunk) <= MAX_LINE_CODE_POINTS or b"\n" in chunk.rstrip(b"\n"):
        return chunk
    return chunk.decode()[-MAX_LINE_CODE_POINTS:].encode()


def _borders(data: bytes) -> list[int]:
    """Where the chunks begin, and the end of `data`.

    A line that is too long is a chunk by itself, and so is the first one, of which a window may cut off a part.
    """
    signs = np.frombuffer(data, np.uint8)
    if not len(signs):
        return []
    newline = signs == _NEWLINE
    places = np.concatenate(([0], np.flatnonzero(newline[:-1] & ~newline[1:]) + 1, [len(signs)]))
    starts, long = places[:-1], np.diff(places) > MAX_LINE_CODE_POINTS
    ending = np.add.reduceat(_WEIGHTS[signs], starts) < _UNLIKELY
    ending[0] = True
    ends = np.flatnonzero(ending | long | np.append(long[1:], True)) + 1
    return [0, *(int(places[line]) for last, end in pairwise([0, *ends.tolist()]) for line in _parted(last, end))]


def _parted(first: int, end: int) -> list[int]:
    """The ends of the chunks between two borders, in lines."""
    return [*range(first + _MAX_LINES, end, _MAX_LINES), end]
