"""Text <-> token ids of one model, with sentinels as single tokens that user text never produces."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.prompt.detokenizer import REPLACEMENT, Detokenizer
from lacuna_inference.prompt.families import Family, TrailingBlanks
from lacuna_inference.prompt.incremental import IncrementalEncoder
from lacuna_inference.prompt.lines import PART_BYTES, LineEncoder
from lacuna_inference.prompt.vocabulary import Vocabulary, bytes_of_each, sentencepiece_bytes_of
from lacuna_inference.text import BLANKS

MAX_HEALED_TOKENS = 8
"""Tokens of the word at the cursor that is healed; each costs a forward pass, so longer words are not healed."""
_HEALING_WINDOW = 200
"""Code points before the cursor that are searched for that word."""
_LAST_WORD = re.compile(r"\s?(\w+|[^\w\s]|\s+)$")
_SAMPLE = "def naïve(X):\n    if X != '漢字':\n\t# é\n"
_CACHED_TEXTS = 16
"""Results of `encode_lines` that are cached: most keystrokes change neither the text above the line nor that below."""
_MAX_FILE_CODE_POINTS = 50_000
"""Code points of another file that are read."""


class PromptTokenizer:
    """The tokenizer with the family's sentinels, as building prompts needs it.

    A sentinel string in the user's own text (the source of a tokenizer, say) is encoded as ordinary text: it must never
    open or close a hole.
    """

    def __init__(self, tokenizer: Tokenizer, family: Family, extra_ends: Iterable[int] = ()) -> None:
        """Raises ModelUnusable if a sentinel of `family` is not one token of `tokenizer`."""
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.family = family
        self._ids = {sentinel: _token_id(tokenizer, family, sentinel) for sentinel in family.sentinels}
        known = [tokenizer.token_to_id(end) for end in family.ends]
        self.ends = frozenset(i for i in [*known, *(() if family.ends else extra_ends)] if i is not None)
        self.begin = self._begin()
        special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        masks = {i for name in self._mask_names() if (i := tokenizer.token_to_id(name)) is not None}
        self._all_ids = tokenizer.get_vocab(with_added_tokens=True)
        self.size = 1 + max(self._all_ids.values(), default=-1)
        """All ids are below it. There may be fewer tokens: some vocabularies have gaps."""
        self.banned = frozenset((special | masks | set(self._ids.values()) | self._gaps()) - self.ends)
        names = sorted({*family.sentinels, *family.ends} | self._mask_names(), key=len, reverse=True)
        self._sentinel_text = re.compile("|".join(map(re.escape, names))) if names else None
        self._incremental = IncrementalEncoder(tokenizer, self._exact_bytes)
        self._lines = LineEncoder(self._encode_all)
        self._encode_lines = lru_cache(_CACHED_TEXTS)(self._lines.encode)
        self._read_in_parts: deque[int] = deque(maxlen=_CACHED_TEXTS)
        """Hashes of texts."""
        self._anchor = self._ordinary_token()
        self._anchor_text = self._plain_decode([self._anchor])

    @property
    def begin_of_nothing(self) -> int:
        """The token of an empty prompt: a model needs at least one."""
        return min(self.ends, default=self._anchor)

    @cached_property
    def specials(self) -> Mapping[str, int]:
        """The ids of the special tokens and of the family's sentinels, by their spelling."""
        added = {token.content: i for i, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}
        names = {*self.family.sentinels, *self.family.ends} | self._mask_names()
        return added | {name: i for name in names if (i := self._tokenizer.token_to_id(name)) is not None}

    def sentinel(self, text: str) -> int:
        """The id of a sentinel of the family. Raises ModelUnusable if it is not one token."""
        known = self._ids.get(text)
        return known if known is not None else _token_id(self._tokenizer, self.family, text)

    def encode(self, text: str) -> list[int]:
        """Token ids of ordinary text; no special token is added or recognized."""
        first, *others = self._split_sentinels(text)
        ids = list(self._incremental.encode(first))
        for part in others:
            ids += self._encode_bare(part)
        return ids

    def header(self, path: str | None) -> list[int]:
        """Token ids of what the family's prompt says about a file; empty if it says nothing."""
        family = self.family
        ids = self.encode(family.header(path)) if family.header else []
        token = self._tokenizer.token_to_id(family.header_sentinel) if ids and family.header_sentinel else None
        return ids if token is None else [token, *ids]

    def encode_bare(self, text: str) -> list[int]:
        """As `encode`, without the blank that sentencepiece adds before a text."""
        return [token for part in self._split_sentinels(text) for token in self._encode_bare(part)]

    def healed_prefix(self, prefix: str, blanks: TrailingBlanks) -> str:
        """The end of `prefix` that is healed: the last pre-token of its last line, or of blanks what `blanks` says."""
        line = prefix[prefix.rfind("\n") + 1 :]
        if blanks is TrailingBlanks.KEPT:
            line = line.lstrip(BLANKS)
        if blanks is TrailingBlanks.HEALED or not line.endswith(tuple(BLANKS)):
            return self.last_pre_token(line[-_HEALING_WINDOW:])
        return line[-1] if self.spells else ""

    def last_pre_token(self, text: str) -> str:
        """The end of `text` that could be tokenized differently if more text followed: its last word, roughly.

        If a tokenizer's pre-tokens are whole lines (InCoder's), this is the last word in the usual sense. Empty for one
        of too many tokens, and for a tokenizer whose vocabulary does not spell texts byte by byte.
        """
        if not text or not self.spells:
            return ""
        pre_tokens = self._tokenizer.pre_tokenizer.pre_tokenize_str(text) if self._tokenizer.pre_tokenizer else []
        pre_token = text[pre_tokens[-1][1][0] :] if pre_tokens else text
        word = _LAST_WORD.search(text)
        candidates = (pre_token, word.group() if word else "")
        return next((end for end in candidates if len(self.encode_bare(end)) <= MAX_HEALED_TOKENS), "")

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The bytes of every ordinary token."""
        other = self.banned | self.ends
        ordinary = {name: token for name, token in self._all_ids.items() if token not in other}
        if self._byte_level:
            known = dict(zip(ordinary.values(), bytes_of_each(list(ordinary)), strict=True))
            added = self._tokenizer.get_added_tokens_decoder()  # named by their text: DeepSeek's `ü` is not byte 0xFC
            known |= {token: name.content.encode() for token, name in added.items() if token in known}
        else:
            known = {token: sentencepiece_bytes_of(name) for name, token in ordinary.items()}
        self._all_ids = {}  # not needed any more
        return Vocabulary(known)

    @cached_property
    def spells(self) -> bool:
        """Whether the bytes of a text's tokens are the text's bytes, so that words can be healed."""
        known = self.vocabulary.bytes_of
        tokens = self._raw(_SAMPLE)
        return all(t in known for t in tokens) and b"".join(known[t] for t in tokens).lstrip() == _SAMPLE.encode()

    @cached_property
    def _byte_level(self) -> bool:
        return "ByteLevel" in str(self._tokenizer.decoder)

    def _exact_bytes(self, text: str) -> Mapping[int, bytes] | None:
        """The bytes of every token if `text` can be tokenized in parts with all bytes preserved; None otherwise."""
        if self._is_divisible and (self._tokenizer.normalizer is None or text.isascii()):
            return self.vocabulary.bytes_of
        return None

    @cached_property
    def _is_divisible(self) -> bool:
        """Whether a text can be tokenized in parts: no blank is added before it, and every byte is preserved."""
        prepends = self._raw(" a") == self._raw("a")
        looks_back = any(token.single_word for token in self._tokenizer.get_added_tokens_decoder().values())
        split = self._byte_level and self._tokenizer.pre_tokenizer is not None
        return split and self.spells and not prepends and not looks_back

    @cached_property
    def newlines(self) -> list[int]:
        """Ids of the tokens that begin with a line end."""
        return [token for token, data in self.vocabulary.bytes_of.items() if data.startswith((b"\r", b"\n"))]

    def encode_lines(self, text: str) -> NDArray[np.int64]:
        """Token ids of ordinary text, each line with its line ends tokenized separately: known lines cost nothing.

        Only the end of a very long line counts.
        """
        return self._encode_lines(text)

    def lines_in_parts(self, text: str) -> Iterator[None]:
        """Does most of the work of `encode_lines` for a long text that is new, and yields between its parts."""
        if len(text) > PART_BYTES and (known := hash(text)) not in self._read_in_parts:
            self._read_in_parts.append(known)
            yield from self._lines.in_parts(text)

    def encode_file(self, text: str) -> NDArray[np.int64]:
        """As `encode_lines`, for a text that seldom changes. Only the end of a very long text counts."""
        return self._encode_lines(text[-_MAX_FILE_CODE_POINTS:])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids` after other tokens, without an incomplete UTF-8 sequence at the end.

        Decoded after an anchor token, because a sentencepiece decoder drops the blank of the first token.
        """
        return self._decode_after_anchor(ids).rstrip(REPLACEMENT)

    def detokenizer(self) -> Detokenizer:
        """A decoder for tokens that arrive one at a time."""
        return Detokenizer(self._decode_after_anchor)

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """The text of each of `ids`, empty while a character is incomplete; special tokens by their spelling."""
        detokenizer = self.detokenizer()
        texts = [detokenizer.push(token) for token in ids]
        return [*texts[:-1], texts[-1] + detokenizer.rest] if texts else []

    def _raw(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def _encode_bare(self, text: str) -> list[int]:
        """Ids of `text` within a longer text: sentencepiece adds its blank before a dummy line end instead."""
        if not self.family.text_begins_bare:
            return list(self._incremental.encode(text))
        return self._raw("\n" + text)[len(self._raw("\n")) :]

    def _encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """As `encode_bare` for each of `texts`, in one call of the tokenizer, without a cache."""
        parts = [list(self._split_sentinels(text)) for text in texts]
        dummy = "\n" if self.family.text_begins_bare else ""
        batch = [dummy + part for text in parts for part in text]
        encoded = iter(self._tokenizer.encode_batch_fast(batch, add_special_tokens=False))
        skipped = len(self._raw(dummy)) if dummy else 0
        return [[token for _ in text for token in next(encoded).ids[skipped:]] for text in parts]

    def _decode_after_anchor(self, ids: Sequence[int]) -> str:
        return self._plain_decode([self._anchor, *ids])[len(self._anchor_text) :]

    def _plain_decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)

    def _split_sentinels(self, text: str) -> Iterable[str]:
        """`text` in parts, split inside every sentinel string, so that none is recognized."""
        start = 0
        for match in self._sentinel_text.finditer(text) if self._sentinel_text else ():
            yield text[start : match.start() + 1]
            start = match.start() + 1
        yield text[start:]

    def _begin(self) -> tuple[int, ...]:
        """The tokens before a left-to-right text; for models of unknown families, those that their tokenizer adds."""
        if self.family.begin:
            return (self._ids[self.family.begin],)
        if self.family.name != "plain":
            return ()
        whole, text = self._tokenizer.encode("a", add_special_tokens=True).ids, self._raw("a")
        return tuple(whole[: next((n for n, i in enumerate(whole) if i == text[0]), 0)]) if text else ()

    def _gaps(self) -> set[int]:
        """The ids without a token: a model has rows for them, but they have no text."""
        used = np.zeros(self.size, bool)
        used[list(self._all_ids.values())] = True
        return set(np.flatnonzero(~used).tolist())

    def _mask_names(self) -> set[str]:
        mask = self.family.mask
        return {mask(i) for i in range(256)} if mask else set()

    def _ordinary_token(self) -> int:
        for text in ("a", "=", "x"):
            if ids := self._raw(text):
                return ids[-1]
        return 0


def _token_id(tokenizer: Tokenizer, family: Family, sentinel: str) -> int:
    token = tokenizer.token_to_id(sentinel)
    if token is None:
        raise ModelUnusable(
            f"The prompt family {family.name!r} needs {sentinel!r} as one token, and this tokenizer does not have it.",
            "Choose another family with --family, or a model whose tokenizer has the token.",
        )
    return token
