"""The tokens of a byte-level tokenizer by the bytes they stand for."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


class Vocabulary:
    """The tokens in the order of their bytes."""

    def __init__(self, tokens: Mapping[int, bytes]) -> None:
        ordered = sorted((piece, token) for token, piece in tokens.items() if piece)
        self._pieces = [piece for piece, _ in ordered]
        self._ids = np.array([token for _, token in ordered], np.int64)
        self._longest = max(map(len, self._pieces), default=0)
        self.bytes_of = tokens

    def agreeing(self, wanted: bytes) -> NDArray[np.int64]:
        """Ids of the tokens that begin with `wanted`, and of those with which `wanted` begins."""
        longer = self._between(wanted, wanted + b"\xff" * self._longest)
        lengths = range(1, min(len(wanted), self._longest + 1))
        return np.concatenate([longer, *(self._between(wanted[:n], wanted[:n] + b"\0") for n in lengths)])

    def _between(self, low: bytes, high: bytes) -> NDArray[np.int64]:
        return self._ids[bisect_left(self._pieces, low) : bisect_left(self._pieces, high)]


def bytes_of(token: str) -> bytes:
    """The bytes of a token of a byte-level vocabulary, one sign a byte; signs outside that alphabet as UTF-8."""
    return b"".join(_BYTES[sign] if sign in _BYTES else sign.encode() for sign in token)


def sentencepiece_bytes_of(token: str) -> bytes:
    """The bytes of a token of a sentencepiece vocabulary: a bar for a blank, single bytes as `<0x0A>`."""
    byte = _SINGLE_BYTE.fullmatch(token)
    return bytes([int(byte.group(1), 16)]) if byte else token.replace("\u2581", " ").encode()


_SINGLE_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def _alphabet() -> dict[str, bytes]:
    """GPT-2's spelling of bytes: printable Latin-1 as itself, the others in order from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): bytes([b]) for b in printable} | {chr(256 + n): bytes([b]) for n, b in enumerate(others)}


_BYTES = _alphabet()
