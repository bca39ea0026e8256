"""Tokenizes text line by line, with a cache: known lines are not tokenized again.

A text is cached in chunks of a few lines. Chunk boundaries depend only on the lines themselves, so an edit, a moving
cursor, or a window that moves over a long file changes only the chunks at its edges, as in content-defined chunking
(Muthitacharoen, Chen and Mazieres, 2001).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

MAX_LINE_CODE_POINTS = 1000
"""Code points of a line; only the end of a longer line is tokenized."""
MAX_CACHE_BYTES = 2_000_000
"""UTF-8 bytes of all cached chunks: about eight files of the size that one request reads."""
PART_BYTES = 20_000
"""UTF-8 bytes of a part of a text: about 10 ms."""
_BOUNDARY_HASH, _MAX_LINES = np.uint64(2**60), 64
"""A line with a smaller hash, one in 16, ends a chunk. A chunk without such a line ends after `_MAX_LINES`."""
_LINE_AND_ENDS = re.compile(r"[^\n]*\n+|[^\n]+")
_NEWLINE = ord("\n")
_WEIGHTS = np.random.default_rng(0).integers(0, 2**64, 256, np.uint64)
"""What each byte adds to the hash of its line, modulo 2 ** 64."""


class LineEncoder:
    """Tokenizes each line, with the line ends after it, separately."""

    def __init__(self, encode_all: Callable[[Sequence[str]], Sequence[Sequence[int]]]) -> None:
        """`encode_all` returns the ids of each of a list of lines; it is called once for all new lines of a text."""
        self._encode_all = encode_all
        self._cache: OrderedDict[bytes, Ids] = OrderedDict()
        self._bytes = 0

    def encode(self, text: str) -> Ids:
        """The ids of `text` [tokens]. Only the end of a very long line counts."""
        chunks = _chunks(text)
        self._add([chunk for chunk in dict.fromkeys(chunks) if chunk not in self._cache])
        ids = [self._cache[chunk] for chunk in chunks]
        for chunk in chunks:
            self._cache.move_to_end(chunk)
        self._evict()
        return np.concatenate(ids) if ids else np.zeros(0, np.int64)

    def in_parts(self, text: str) -> Iterator[None]:
        """Tokenizes what is new in `text` a part at a time; yields after each. Then `encode` has little to do."""
        part, size = list[bytes](), 0
        for chunk in dict.fromkeys(_chunks(text)):
            if chunk not in self._cache:
                part.append(chunk)
                size += len(chunk)
            if size >= PART_BYTES:
                self._add(part)
                part, size = [], 0
                yield

    def _add(self, chunks: Sequence[bytes]) -> None:
        lines = [_LINE_AND_ENDS.findall(chunk.decode()) for chunk in chunks]
        new = list(dict.fromkeys(line for chunk in lines for line in chunk))
        ids = dict(zip(new, self._encode_all(new), strict=True)) if new else {}
        for chunk, chunk_lines in zip(chunks, lines, strict=True):
            self._cache[chunk] = np.array([token for line in chunk_lines for token in ids[line]], np.int64)
            self._bytes += len(chunk)

    def _evict(self) -> None:
        """Evicts the least recently used chunks while the cache is too large."""
        while self._bytes > MAX_CACHE_BYTES:
            chunk, _ = self._cache.popitem(last=False)
            self._bytes -= len(chunk)


def _chunks(text: str) -> list[bytes]:
    """`text` in chunks of whole lines, in UTF-8."""
    data = text.encode()
    return [_truncated(data[start:end]) for start, end in pairwise(_boundaries(data))]


def _truncated(chunk: bytes) -> bytes:
    """`chunk`, or its end if it is a line that is too long."""
    if len(chunk) <= MAX_LINE_CODE_POINTS or b"\n" in chunk.rstrip(b"\n"):
        return chunk
    return chunk.decode()[-MAX_LINE_CODE_POINTS:].encode()


def _boundaries(data: bytes) -> list[int]:
    """Where the chunks begin, and the end of `data`.

    A line that is too long is a separate chunk, and so is the first line, which a window may have cut.
    """
    octets = np.frombuffer(data, np.uint8)
    if not len(octets):
        return []
    newline = octets == _NEWLINE
    offsets = np.concatenate(([0], np.flatnonzero(newline[:-1] & ~newline[1:]) + 1, [len(octets)]))
    starts, long = offsets[:-1], np.diff(offsets) > MAX_LINE_CODE_POINTS
    ending = np.add.reduceat(_WEIGHTS[octets], starts) < _BOUNDARY_HASH
    ending[0] = True
    ends = np.flatnonzero(ending | long | np.append(long[1:], True)) + 1
    return [0, *(int(offsets[line]) for start, end in pairwise([0, *ends.tolist()]) for line in _split(start, end))]


def _split(first: int, end: int) -> list[int]:
    """The ends of the chunks between two boundaries, in lines."""
    return [*range(first + _MAX_LINES, end, _MAX_LINES), end]
