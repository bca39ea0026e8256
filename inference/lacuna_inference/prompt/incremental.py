"""Tokenises a text that begins as one before did from the last safe border on, and the same text not at all.

A prompt changes by a few characters between two keys, and tokenising it whole costs as much as some forward passes. The
border is the end of a pre-tokeniser's piece: its pieces are found from left to right and each is tokenised by itself,
so what follows a border does not depend on what stands before it, and a piece depends on no more than one character
behind it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from tokenizers import Tokenizer

TEXTS = 16
"""How many texts are remembered."""
_LOOK_AHEAD = 4
"""Bytes of the longest character."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A tokenised text in UTF-8; `ends` are the tokens' ends in bytes, `pieces` number their pieces."""

    data: bytes
    ids: list[int]
    ends: list[int]
    pieces: Sequence[int | None]


class IncrementalEncoder:
    """`Tokenizer.encode` of ordinary text, with a memory.

    `bytes_of` gives the bytes of each token when the tokenizer keeps every byte of the text that it is called with;
    where it gives None only equal texts are remembered.
    """

    def __init__(self, tokenizer: Tokenizer, bytes_of: Callable[[str], Mapping[int, bytes] | None]) -> None:
        self._tokenizer = tokenizer
        self._bytes_of = bytes_of
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self.encoded = 0
        """Characters that were tokenised."""

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, which no caller may change."""
        if text in self._known:
            self._known.move_to_end(text)
        else:
            self._known[text] = self._continued(text) or self._whole(text)
            if len(self._known) > TEXTS:
                self._known.popitem(last=False)
        return self._known[text].ids

    def _whole(self, text: str) -> _Known:
        self.encoded += len(text)
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        bytes_of = self._bytes_of(text)
        lengths = [len(bytes_of[token]) for token in encoding.ids] if bytes_of else []
        return _Known(text.encode(), encoding.ids, list(accumulate(lengths)), encoding.word_ids)

    def _continued(self, text: str) -> _Known | None:
        """`text` from the last border of the known text that shares the longest beginning with it."""
        known_texts = [k for k in self._known.values() if k.ends]
        if not known_texts or self._bytes_of(text) is None:
            return None
        data = text.encode()
        common, known = max(((_common(data, k.data), k) for k in known_texts), key=lambda found: found[0])
        count = _border(known, common - _LOOK_AHEAD)
        if count == 0:
            return None
        start, first = known.ends[count - 1], (known.pieces[count - 1] or 0) + 1
        rest = self._whole(data[start:].decode())
        return _Known(
            data,
            known.ids[:count] + rest.ids,
            known.ends[:count] + [start + end for end in rest.ends],
            [*known.pieces[:count], *(None if piece is None else piece + first for piece in rest.pieces)],
        )


def _border(known: _Known, limit: int) -> int:
    """How many tokens stand before the last border that is not behind `limit` bytes."""
    for count in range(len(known.ids) - 1, 0, -1):
        last, following = known.pieces[count - 1], known.pieces[count]
        if known.ends[count - 1] <= limit and last is not None and following is not None and last != following:
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
