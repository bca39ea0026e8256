"""The tokenizer of a GGUF file of the kind `gpt2`: BPE with merges, on texts whose bytes are written as characters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from lacuna_inference.models.gguf.pre_tokenizers import Splitting
from lacuna_inference.models.gguf.vocabulary import GgufVocabulary

_ALPHABET = frozenset(pre_tokenizers.ByteLevel.alphabet())
_IN_NO_TEXT = frozenset("ÀÁõö÷øùúûüýþÿ")
"""The characters of the bytes that UTF-8 does not use."""


def byte_level_tokenizer(vocabulary: GgufVocabulary, merges: Sequence[str], splitting: Splitting) -> Tokenizer:
    """A tokenizer that splits texts as `splitting` says. Each of `merges` is two tokens with a blank between them."""
    tokenizer = Tokenizer(_byte_pairs(vocabulary, merges, splitting.whole_words))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splitting.steps(), *_without_missing(vocabulary)])
    tokenizer.decoder = _decoder(vocabulary)
    return tokenizer


def _byte_pairs(vocabulary: GgufVocabulary, merges: Sequence[str], whole_words: bool) -> models.BPE:
    pairs = [cast("tuple[str, str]", tuple(merge.split(" ", 1))) for merge in merges]
    try:
        return models.BPE(dict(vocabulary.ids), pairs, ignore_merges=whole_words)
    except Exception:  # the library raises it for a merge of tokens that are not in the vocabulary
        ids = {token: i for i, token in enumerate(vocabulary.tokens)}
        known = [pair for pair in pairs if len(pair) == 2 and all(part in ids for part in (*pair, "".join(pair)))]
        return models.BPE(ids, known, ignore_merges=whole_words)


def _without_missing(vocabulary: GgufVocabulary) -> list[pre_tokenizers.PreTokenizer]:
    """Removes the characters of bytes that the vocabulary lacks, and keeps apart what is before and after them."""
    if missing := _ALPHABET.difference(vocabulary.ids):
        return [pre_tokenizers.Split(Regex(f"[{''.join(map(re.escape, sorted(missing)))}]"), "removed")]
    return []


def _decoder(vocabulary: GgufVocabulary) -> decoders.Decoder:
    """Decodes bytes; but added tokens that look like bytes, which are some letters in DeepSeek's files, as letters."""
    letters = sorted(_IN_NO_TEXT.intersection(token.content for token in vocabulary.added()))
    if not letters:
        return decoders.ByteLevel()
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    replaced = [decoders.Replace(letter, as_bytes.pre_tokenize_str(letter)[0][0]) for letter in letters]
    return decoders.Sequence([*replaced, decoders.ByteLevel()])
