"""The tokenizer of a GGUF file of the kind `llama`: sentencepiece's BPE, whose merges follow from scores."""

from __future__ import annotations

from collections.abc import Container

from tokenizers import Tokenizer, decoders, models, normalizers

from lacuna_inference.models.gguf.vocabulary import BYTE, CONTROL, UNKNOWN, GgufVocabulary

_BLANK = "▁"
_NEVER_MERGED = (UNKNOWN, CONTROL, BYTE)
"""Types of tokens that ordinary text never becomes, also if it spells them."""


def sentencepiece_tokenizer(vocabulary: GgufVocabulary, begins_with_blank: bool) -> Tokenizer:
    """A tokenizer that writes blanks as `▁`, and characters that it does not have as the tokens of their bytes.

    With `begins_with_blank` a blank is put before each text.
    """
    unknown = next((vocabulary.tokens[i] for i, kind in enumerate(vocabulary.types) if kind == UNKNOWN), None)
    tokenizer = Tokenizer(
        models.BPE(dict(vocabulary.ids), merges_of(vocabulary), unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    before = [normalizers.Prepend(_BLANK)] if begins_with_blank else []
    after = [decoders.Strip(" ", 1, 0)] if begins_with_blank else []
    tokenizer.normalizer = normalizers.Sequence([*before, normalizers.Replace(" ", _BLANK)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_BLANK, " "), decoders.ByteFallback(), decoders.Fuse(), *after]
    )
    return tokenizer


def merges_of(vocabulary: GgufVocabulary) -> list[tuple[str, str]]:
    """Every pair of tokens that is a token together; the one whose token has the highest score is merged first.

    Of pairs with equal scores sentencepiece merges the leftmost in the text first, which no order of pairs expresses.
    Published vocabularies have such scores for runs of blanks only, where both give the same tokens.
    """
    tokens, types, scores, known = vocabulary.tokens, vocabulary.types, vocabulary.scores, vocabulary.ids
    merged = [i for i, token in enumerate(tokens) if token in known and types[i] not in _NEVER_MERGED]
    merged.sort(key=lambda i: -scores[i])
    return [pair for i in merged for pair in _splits(tokens[i], known)]


def _splits(token: str, known: Container[str]) -> list[tuple[str, str]]:
    """The pairs of `known` tokens that form `token`."""
    return [(token[:n], token[n:]) for n in range(1, len(token)) if token[:n] in known and token[n:] in known]
