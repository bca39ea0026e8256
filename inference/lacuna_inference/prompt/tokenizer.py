"""Text <-> token ids of one model, with the family's sentinels as single tokens and user text kept apart from them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.prompt.detokenizer import REPLACEMENT, Detokenizer
from lacuna_inference.prompt.families import Family
from lacuna_inference.prompt.incremental import IncrementalEncoder
from lacuna_inference.prompt.lines import LineEncoder
from lacuna_inference.prompt.vocabulary import Vocabulary, bytes_of, sentencepiece_bytes_of

MAX_HEALED_TOKENS = 8
"""Tokens of a word under the cursor that is spelt again; each costs a forward pass, and a longer one stays as it is."""
_SEARCHED = 200
"""Characters before the cursor in which that word is looked for."""
_LAST_WORD = re.compile(r"\s?(\w+|[^\w\s]|\s+)$")
_SAMPLE = "def naïve(X):\n    if X != '漢字':\n\t# é\n"
_TEXTS = 16
"""Texts in lines that are remembered whole: most keys change neither what is above their line nor what is below it."""
_MAX_FILE_CODE_POINTS = 50_000
"""Characters of another file that are looked at."""


class PromptTokenizer:
    """The tokenizer as the prompt code needs it.

    A sentinel string that stands in the user's own text (the source of a tokenizer, say) is encoded as ordinary
    text: it must never open or close a hole.
    """

    def __init__(self, tokenizer: Tokenizer, family: Family, extra_ends: Iterable[int] = ()) -> None:
        """Raises ModelUnusable when a sentinel of `family` is not one token of `tokenizer`."""
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.family = family
        self._ids = {sentinel: _single(tokenizer, family, sentinel) for sentinel in family.sentinels}
        known = [tokenizer.token_to_id(end) for end in family.ends]
        self.ends = frozenset(i for i in [*known, *(() if family.ends else extra_ends)] if i is not None)
        self.begin = self._begin()
        special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        masks = {i for name in self._mask_names() if (i := tokenizer.token_to_id(name)) is not None}
        self.banned = frozenset((special | masks | set(self._ids.values()) | _gaps(tokenizer)) - self.ends)
        names = sorted({*family.sentinels, *family.ends} | self._mask_names(), key=len, reverse=True)
        self.size = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        """All ids lie below it. There may be fewer tokens: some vocabularies have gaps."""
        self._sentinel_text = re.compile("|".join(map(re.escape, names))) if names else None
        self._incremental = IncrementalEncoder(tokenizer, self._exact_bytes)
        self._in_lines = lru_cache(_TEXTS)(LineEncoder(self._encode_all).encode)
        self._anchor = self._ordinary_token()
        self._anchor_text = self._plain_decode([self._anchor])

    @property
    def begin_of_nothing(self) -> int:
        """What stands before an empty text: a model cannot be asked without a token."""
        return min(self.ends, default=self._anchor)

    @cached_property
    def specials(self) -> Mapping[str, int]:
        """The ids of the special tokens and of the family's sentinels, by their spelling."""
        added = {token.content: i for i, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}
        names = {*self.family.sentinels, *self.family.ends} | self._mask_names()
        return added | {name: i for name in names if (i := self._tokenizer.token_to_id(name)) is not None}

    def sentinel(self, text: str) -> int:
        """The id of a sentinel of the family. Raises ModelUnusable when it is not one token."""
        known = self._ids.get(text)
        return known if known is not None else _single(self._tokenizer, self.family, text)

    def encode(self, text: str) -> list[int]:
        """Token ids of ordinary text; no special token is added or recognised."""
        first, *others = self._without_sentinels(text)
        ids = list(self._incremental.encode(first))
        for piece in others:
            ids += self._bare(piece)
        return ids

    def encode_bare(self, text: str) -> list[int]:
        """As `encode`, without the blank that sentencepiece puts before a text."""
        return [token for piece in self._without_sentinels(text) for token in self._bare(piece)]

    def healed_prefix(self, prefix: str) -> str:
        """The end of `prefix` that is healed: the last piece of its last line."""
        return self.last_piece(prefix[prefix.rfind("\n") + 1 :][-_SEARCHED:])

    def last_piece(self, text: str) -> str:
        """The end of `text` that could be tokenised otherwise when more text follows: its last word, roughly.

        Where a tokenizer's pieces are whole lines (InCoder's), the last word in the usual sense. Empty for a piece of
        too many tokens, and for a tokenizer whose vocabulary does not spell texts byte by byte.
        """
        if not text or not self.spells:
            return ""
        pieces = self._tokenizer.pre_tokenizer.pre_tokenize_str(text) if self._tokenizer.pre_tokenizer else []
        piece = text[pieces[-1][1][0] :] if pieces else text
        word = _LAST_WORD.search(text)
        candidates = (piece, word.group() if word else "")
        return next(
            (
                healed_prefix
                for healed_prefix in candidates
                if len(self.encode_bare(healed_prefix)) <= MAX_HEALED_TOKENS
            ),
            "",
        )

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The bytes of every ordinary token."""
        names = self._tokenizer.get_vocab(with_added_tokens=True)
        ordinary = {name: token for name, token in names.items() if token not in self.banned | self.ends}
        spelling = bytes_of if self._byte_level else sentencepiece_bytes_of
        return Vocabulary({token: spelling(name) for name, token in ordinary.items()})

    @cached_property
    def spells(self) -> bool:
        """Whether the bytes of a text's tokens are the text's bytes, so that words can be spelt again."""
        known = self.vocabulary.bytes_of
        tokens = self._raw(_SAMPLE)
        return all(t in known for t in tokens) and b"".join(known[t] for t in tokens).lstrip() == _SAMPLE.encode()

    @cached_property
    def _byte_level(self) -> bool:
        return "ByteLevel" in str(json.loads(self._tokenizer.to_str()).get("decoder"))

    def _exact_bytes(self, text: str) -> Mapping[int, bytes] | None:
        """The bytes of every token where tokenising `text` goes piece by piece and keeps all bytes."""
        if self._in_pieces and (self._tokenizer.normalizer is None or text.isascii()):
            return self.vocabulary.bytes_of
        return None

    @cached_property
    def _in_pieces(self) -> bool:
        """Whether a text can be tokenised in parts: no blank is put before it, and every byte is kept."""
        prepends = self._raw(" a") == self._raw("a")
        looks_back = any(token.single_word for token in self._tokenizer.get_added_tokens_decoder().values())
        split = self._byte_level and self._tokenizer.pre_tokenizer is not None
        return split and self.spells and not prepends and not looks_back

    @cached_property
    def newlines(self) -> list[int]:
        """Ids of the tokens that begin with a line end."""
        return [token for token, piece in self.vocabulary.bytes_of.items() if piece.startswith((b"\r", b"\n"))]

    def encode_lines(self, text: str) -> NDArray[np.int64]:
        """Token ids of ordinary text, line by line with the line ends behind it: lines seen before cost nothing.

        Of a very long line only the end counts.
        """
        return self._in_lines(text)

    def encode_file(self, text: str) -> NDArray[np.int64]:
        """As `encode_lines`, for a text that seldom changes. Of a very long one only the end counts."""
        return self._in_lines(text[-_MAX_FILE_CODE_POINTS:])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids` as it stands after other tokens; an unfinished UTF-8 sequence at the end is left out.

        Decoded behind an anchor token, because a sentencepiece decoder drops the blank of the first token.
        """
        return self._decode_behind(ids).rstrip(REPLACEMENT)

    def detokenizer(self) -> Detokenizer:
        """Decodes tokens one by one."""
        return Detokenizer(self._decode_behind)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The text of each of `ids`, empty while a character is not whole; special tokens as they are spelt."""
        text = self.detokenizer()
        pieces = [text.settle(token) for token in ids]
        return [*pieces[:-1], pieces[-1] + text.rest] if pieces else []

    def _raw(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def _bare(self, text: str) -> list[int]:
        """Ids of `text` inside a text: sentencepiece puts its blank before the dummy line end instead."""
        if not self.family.text_begins_bare:
            return list(self._incremental.encode(text))
        return self._raw("\n" + text)[len(self._raw("\n")) :]

    def _encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """As `encode_bare` for each of many texts, in one call of the tokenizer, which nothing is remembered of."""
        pieces = [list(self._without_sentinels(text)) for text in texts]
        dummy = "\n" if self.family.text_begins_bare else ""
        batch = [dummy + piece for text in pieces for piece in text]
        encoded = iter(self._tokenizer.encode_batch_fast(batch, add_special_tokens=False))
        skipped = len(self._raw(dummy)) if dummy else 0
        return [[token for _ in text for token in next(encoded).ids[skipped:]] for text in pieces]

    def _decode_behind(self, ids: Sequence[int]) -> str:
        return self._plain_decode([self._anchor, *ids])[len(self._anchor_text) :]

    def _plain_decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)

    def _without_sentinels(self, text: str) -> Iterable[str]:
        """`text` in pieces, cut inside every sentinel string, so that none is recognised."""
        start = 0
        for match in self._sentinel_text.finditer(text) if self._sentinel_text else ():
            yield text[start : match.start() + 1]
            start = match.start() + 1
        yield text[start:]

    def _begin(self) -> tuple[int, ...]:
        """What stands before a left-to-right text; for models of no known family what their tokenizer puts there."""
        if self.family.begin:
            return (self._ids[self.family.begin],)
        if self.family.name != "plain":
            return ()
        whole, text = self._tokenizer.encode("a", add_special_tokens=True).ids, self._raw("a")
        return tuple(whole[: next((n for n, i in enumerate(whole) if i == text[0]), 0)]) if text else ()

    def _mask_names(self) -> set[str]:
        mask = self.family.mask
        return {mask(i) for i in range(256)} if mask else set()

    def _ordinary_token(self) -> int:
        for text in ("a", "=", "x"):
            if ids := self._raw(text):
                return ids[-1]
        return 0


def _gaps(tokenizer: Tokenizer) -> set[int]:
    """Ids below the highest one that no token has: a model has rows for them, and they spell nothing."""
    taken = set(tokenizer.get_vocab(with_added_tokens=True).values())
    return set(range(max(taken, default=0))) - taken


def _single(tokenizer: Tokenizer, family: Family, sentinel: str) -> int:
    found = tokenizer.token_to_id(sentinel)
    if found is None:
        raise ModelUnusable(
            f"The prompt family {family.name!r} needs {sentinel!r} as one token, and this tokenizer does not have it.",
            "Choose another family with --family, or a model whose tokenizer has the token.",
        )
    return found
