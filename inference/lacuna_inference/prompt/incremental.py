"""Incremental tokenization: a text that shares a beginning with an earlier one is tokenized from a safe boundary on.

A prompt changes by a few characters between two keystrokes, and tokenizing it whole costs as much as several forward
passes. The boundary is the end of a pre-token, as the pre-tokenizer splits the text. It splits from left to right, and
each pre-token is tokenized separately, so the tokens after a boundary do not depend on the text before it.

The end of a pre-token may depend on the text after it, though: on all following blanks (`\\s*[\\r\\n]+`, in the
patterns of Qwen and Llama 3, ends at the last line end among them), on all letters of its word (o200k's pattern
distinguishes capitals), or on an added token that begins in it. None of these reaches beyond the start of the word
after the next blank, so a boundary is safe if both texts share that start.
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
"""Limits of the cache: texts, and their bytes in UTF-8."""
SHORT = 200
"""Texts of fewer code points are not cached: they are quick to tokenize, and there are many of them."""
_ADDED_TOKEN = -1
"""The pre-token number of an added token, which is found before the text is split."""
_WORD_AFTER_BLANK = re.compile(rb"[!-~][ \t\r\n]")
"""A character of a word and the blank before it, in a reversed text; only ASCII, which is unambiguous."""
_BLANK_THEN_WORD = re.compile(r"\s\S")

Numbers = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A tokenized text: `ends` are the ends of the tokens in bytes, `pre_tokens` their pre-tokens' numbers [tokens].

    Both are empty if the tokens' bytes are not the text's.
    """

    ids: list[int]
    ends: Numbers
    pre_tokens: Numbers


class IncrementalEncoder:
    """`Tokenizer.encode` of ordinary text, with a cache.

    `bytes_of` returns the bytes of each token if the tokenizer preserves every byte of the given text. If it returns
    None, only identical texts are served from the cache.
    """

    def __init__(self, tokenizer: Tokenizer, bytes_of: Callable[[str], Mapping[int, bytes] | None]) -> None:
        self._tokenizer = tokenizer
        self._bytes_of = bytes_of
        self._cache: OrderedDict[bytes, _Encoded] = OrderedDict()
        self._bytes = 0
        self._reach = _longest_with_blank(tokenizer)
        self.encoded = 0
        """Code points that were tokenized."""

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, which callers must not modify."""
        if len(text) < SHORT:
            return self._encode_whole(text).ids
        data = text.encode()
        if data in self._cache:
            self._cache.move_to_end(data)
        else:
            self._add(data, self._encode_from_boundary(text, data) or self._encode_whole(text))
        return self._cache[data].ids

    def _add(self, data: bytes, encoded: _Encoded) -> None:
        """Adds a text and evicts the least recently used ones above the limits."""
        self._cache[data] = encoded
        self._bytes += len(data)
        while len(self._cache) > 1 and (len(self._cache) > MAX_TEXTS or self._bytes > MAX_CACHE_BYTES):
            self._remove(next(iter(self._cache)))

    def _remove(self, data: bytes) -> None:
        del self._cache[data]
        self._bytes -= len(data)

    def _encode_whole(self, text: str) -> _Encoded:
        self.encoded += len(text)
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        if (bytes_of := self._bytes_of(text)) is None:
            return _whole(encoding.ids)
        ends = np.cumsum([len(bytes_of[token]) for token in encoding.ids], dtype=np.int32)
        if ends[-1:].sum() != len(text.encode()):  # some vocabularies lack the bytes of control characters
            return _whole(encoding.ids)
        pre_tokens = [_ADDED_TOKEN if number is None else number for number in encoding.word_ids]
        return _Encoded(encoding.ids, ends, np.array(pre_tokens, np.int32))

    def _encode_from_boundary(self, text: str, data: bytes) -> _Encoded | None:
        """Encodes `text` from the last safe boundary of the cached text with the longest common beginning.

        That text is evicted if it has little beyond the common beginning: it is an older version of `text`.
        """
        similar = [(_common_length(data, other), other) for other in self._cache if other.startswith(data[:SHORT])]
        if not similar or self._bytes_of(text) is None:
            return None
        common, other = max(similar)
        cached = self._cache[other]
        count = _tokens_before_boundary(cached, _last_word(data[: max(0, common - self._reach)]))
        if count == 0:
            return None
        if 2 * common > len(other):
            self._remove(other)
        start, first = int(cached.ends[count - 1]), int(cached.pre_tokens[count - 1]) + 1
        rest = self._encode_whole(data[start:].decode())
        if rest.ids and not rest.ends.size:
            return _whole(cached.ids[:count] + rest.ids)
        pre_tokens = np.where(rest.pre_tokens == _ADDED_TOKEN, _ADDED_TOKEN, rest.pre_tokens + first).astype(np.int32)
        return _Encoded(
            cached.ids[:count] + rest.ids,
            np.concatenate((cached.ends[:count], rest.ends + np.int32(start))),
            np.concatenate((cached.pre_tokens[:count], pre_tokens)),
        )


def _whole(ids: list[int]) -> _Encoded:
    """A text of which no part is known: only the same text is served from the cache."""
    return _Encoded(ids, np.zeros(0, np.int32), np.zeros(0, np.int32))


def _longest_with_blank(tokenizer: Tokenizer) -> int:
    """Bytes of the longest added token that continues after a blank: such a token may begin in the text before it."""
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    return max((len(content.encode()) for content in added if _BLANK_THEN_WORD.search(content)), default=0)


def _last_word(data: bytes) -> int:
    """Index of the blank before the last word of `data`; 0 if there is none."""
    word = _WORD_AFTER_BLANK.search(data[::-1])
    return len(data) - word.end() if word else 0


def _tokens_before_boundary(encoded: _Encoded, limit: int) -> int:
    """How many tokens precede the last boundary within the first `limit` bytes."""
    last_token = min(int(np.searchsorted(encoded.ends, limit, side="right")), len(encoded.ends) - 1)
    for count in range(last_token, 0, -1):
        last, following = encoded.pre_tokens[count - 1], encoded.pre_tokens[count]
        if last != following and _ADDED_TOKEN not in (last, following):
            return count
    return 0


def _common_length(a: bytes, b: bytes) -> int:
    """Length of the common beginning, by bisection: comparing slices is fast."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
