"""Tokenises a text that begins as one before did from the last safe border on, and the same text not at all.

A prompt changes by a few characters between two keys, and tokenising it whole costs as much as some forward passes. The
border is the end of a pre-tokeniser's piece. Its pieces are found from left to right and each is tokenised by itself,
so what follows a border does not depend on what stands before it.

Where a piece ends may depend on what follows, though: on all blanks behind it (`\\s*[\\r\\n]+`, in the patterns of Qwen
and Llama 3, ends at the last line end among them), on all letters of its word (o200k's pattern looks for capitals), or
on an added token that begins in it. None of them looks beyond the beginning of the word after the next blank, so a
border is safe when that stands in both texts.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

MAX_TEXTS, MAX_CACHE_BYTES = 64, 2_000_000
"""How many texts are remembered, and how much of them in UTF-8."""
SHORT = 200
"""Code points of a text that is not remembered: it is tokenised in no time, and there are many of them."""
_NO_PIECE = -1
"""Stands for an added token, which is found before the text is split into pieces."""
_WORD_AFTER_BLANK = re.compile(rb"[!-~][ \t\r\n]")
"""A sign of the next word and the blank before it, in a reversed text. Only signs that are surely one or the other."""
_BLANK_THEN_WORD = re.compile(r"\s\S")

Numbers = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Known:
    """A tokenised text: `ends` are the tokens' ends in bytes, `pieces` number their pieces [tokens].

    Both are empty when the tokens' bytes are not the text's.
    """

    ids: list[int]
    ends: Numbers
    pieces: Numbers


class IncrementalEncoder:
    """`Tokenizer.encode` of ordinary text, with a memory.

    `bytes_of` gives the bytes of each token when the tokenizer keeps every byte of the text that it is called with;
    where it gives None only equal texts are remembered.
    """

    def __init__(self, tokenizer: Tokenizer, bytes_of: Callable[[str], Mapping[int, bytes] | None]) -> None:
        self._tokenizer = tokenizer
        self._bytes_of = bytes_of
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._bytes = 0
        self._reach = _longest_beyond_a_word(tokenizer)
        self.encoded = 0
        """Characters that were tokenised."""

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, which no caller may change."""
        if len(text) < SHORT:
            return self._whole(text).ids
        data = text.encode()
        if data in self._known:
            self._known.move_to_end(data)
        else:
            self._remember(data, self._continued(text, data) or self._whole(text))
        return self._known[data].ids

    def _remember(self, data: bytes, known: _Known) -> None:
        """The texts that were asked for longest ago give way."""
        self._known[data] = known
        self._bytes += len(data)
        while len(self._known) > 1 and (len(self._known) > MAX_TEXTS or self._bytes > MAX_CACHE_BYTES):
            self._forget(next(iter(self._known)))

    def _forget(self, data: bytes) -> None:
        del self._known[data]
        self._bytes -= len(data)

    def _whole(self, text: str) -> _Known:
        self.encoded += len(text)
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        if (bytes_of := self._bytes_of(text)) is None:
            return _Known(encoding.ids, np.zeros(0, np.int32), np.zeros(0, np.int32))
        ends = np.cumsum([len(bytes_of[token]) for token in encoding.ids], dtype=np.int32)
        pieces = [_NO_PIECE if piece is None else piece for piece in encoding.word_ids]
        return _Known(encoding.ids, ends, np.array(pieces, np.int32))

    def _continued(self, text: str, data: bytes) -> _Known | None:
        """`text` from the last border of the known text that shares the longest beginning with it.

        That text is forgotten when it has hardly more: it is an older state of the same.
        """
        alike = [(_common(data, other), other) for other in self._known if other.startswith(data[:SHORT])]
        if not alike or self._bytes_of(text) is None:
            return None
        common, other = max(alike)
        known = self._known[other]
        count = _border(known, _last_word(data[: max(0, common - self._reach)]))
        if count == 0:
            return None
        if 2 * common > len(other):
            self._forget(other)
        start, first = int(known.ends[count - 1]), int(known.pieces[count - 1]) + 1
        rest = self._whole(data[start:].decode())
        pieces = np.where(rest.pieces == _NO_PIECE, _NO_PIECE, rest.pieces + first).astype(np.int32)
        return _Known(
            known.ids[:count] + rest.ids,
            np.concatenate((known.ends[:count], rest.ends + np.int32(start))),
            np.concatenate((known.pieces[:count], pieces)),
        )


def _longest_beyond_a_word(tokenizer: Tokenizer) -> int:
    """Bytes of the longest added token that goes on behind a blank: the text before it may begin such a token."""
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    return max((len(content.encode()) for content in added if _BLANK_THEN_WORD.search(content)), default=0)


def _last_word(data: bytes) -> int:
    """Where the blank before the last word of `data` stands; 0 when there is none."""
    word = _WORD_AFTER_BLANK.search(data[::-1])
    return len(data) - word.end() if word else 0


def _border(known: _Known, limit: int) -> int:
    """How many tokens stand before the last border that is not behind `limit` bytes."""
    most = min(int(np.searchsorted(known.ends, limit, side="right")), len(known.ends) - 1)
    for count in range(most, 0, -1):
        last, following = known.pieces[count - 1], known.pieces[count]
        if last != following and _NO_PIECE not in (last, following):
            return count
    return 0


def _common(a: bytes, b: bytes) -> int:
    """Length of the common beginning, by bisection: comparing slices is fast."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
