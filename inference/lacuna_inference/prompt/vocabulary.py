"""The tokens of a byte-level tokenizer by their bytes."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray


class Vocabulary:
    """The tokens sorted by their bytes."""

    def __init__(self, tokens: Mapping[int, bytes]) -> None:
        ordered = sorted((token for token, data in tokens.items() if data), key=tokens.__getitem__)
        self._sorted_bytes = [tokens[token] for token in ordered]
        self._ids = np.array(ordered, np.int64)
        self._max_length = max(map(len, self._sorted_bytes), default=0)
        self.bytes_of = tokens
        self._before_text: dict[bytes, NDArray[np.int64]] = {}

    @cached_property
    def not_blank(self) -> NDArray[np.int64]:
        """Ids of the tokens that do not begin with white space."""
        return self._ids[[not data[:1].isspace() for data in self._sorted_bytes]]

    def agreeing(self, wanted: bytes) -> NDArray[np.int64]:
        """Ids of the tokens that begin with `wanted`, and of those that `wanted` begins with."""
        longer = self._between(wanted, wanted + b"\xff" * self._max_length)
        lengths = range(1, min(len(wanted), self._max_length + 1))
        return np.concatenate([longer, *(self._between(wanted[:n], wanted[:n] + b"\0") for n in lengths)])

    def agreeing_before_text(self, wanted: bytes) -> NDArray[np.int64]:
        """As `agreeing`, without tokens in which white space follows `wanted`. Cached: it looks at every token."""
        if wanted not in self._before_text:
            agreeing, after = self.agreeing(wanted), slice(len(wanted), len(wanted) + 1)
            goes_on_blank = [self.bytes_of[token][after].isspace() for token in agreeing.tolist()]
            self._before_text[wanted] = agreeing[~np.array(goes_on_blank, bool)]
        return self._before_text[wanted]

    def _between(self, low: bytes, high: bytes) -> NDArray[np.int64]:
        return self._ids[bisect_left(self._sorted_bytes, low) : bisect_left(self._sorted_bytes, high)]


def bytes_of(token: str) -> bytes:
    """The bytes of a byte-level token, one character per byte; characters outside that alphabet as UTF-8."""
    return b"".join(_BYTES[character] if character in _BYTES else character.encode() for character in token)


def bytes_of_each(tokens: Sequence[str]) -> list[bytes]:
    """As `bytes_of` for each of many tokens."""
    points = np.frombuffer("".join(tokens).encode("utf-32-le"), np.uint32)
    values = _BYTE_BY_POINT[np.minimum(points, len(_BYTE_BY_POINT) - 1)]
    if (values == _OUTSIDE).any():
        return [bytes_of(token) for token in tokens]
    joined, ends = values.astype(np.uint8).tobytes(), accumulate(map(len, tokens), initial=0)
    return [joined[start:end] for start, end in pairwise(ends)]


def sentencepiece_bytes_of(token: str) -> bytes:
    """The bytes of a sentencepiece token, which writes a blank as `▁` and single bytes as `<0x0A>`."""
    byte = _SINGLE_BYTE.fullmatch(token)
    return bytes([int(byte.group(1), 16)]) if byte else token.replace("\u2581", " ").encode()


_SINGLE_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def _alphabet() -> dict[str, bytes]:
    """GPT-2's alphabet of bytes: printable Latin-1 as itself, the others in order from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): bytes([b]) for b in printable} | {chr(256 + n): bytes([b]) for n, b in enumerate(others)}


_BYTES = _alphabet()
_OUTSIDE = 256
_BYTE_BY_POINT = np.full(ord(max(_BYTES)) + 2, _OUTSIDE, np.uint16)
"""The byte of each character by its code point; the last entry stands for all greater code points."""
_BYTE_BY_POINT[[ord(character) for character in _BYTES]] = [byte[0] for byte in _BYTES.values()]
