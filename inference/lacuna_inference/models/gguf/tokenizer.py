"""Builds a model's tokenizer from the metadata of its GGUF file, with the ids that llama.cpp would give."""

from __future__ import annotations

import logging
from typing import Any

from tokenizers import Tokenizer, processors

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.gguf.byte_level import byte_level_tokenizer
from lacuna_inference.models.gguf.header import GgufFile
from lacuna_inference.models.gguf.pre_tokenizers import SPLITTINGS, Splitting
from lacuna_inference.models.gguf.sentencepiece import sentencepiece_tokenizer
from lacuna_inference.models.gguf.vocabulary import GgufVocabulary, read_vocabulary

logger = logging.getLogger(__name__)

_OTHERWISE = "Use the model as a folder with safetensors and tokenizer.json."


def build_tokenizer(file: GgufFile) -> Tokenizer:
    """The tokenizer of `file`. Raises ModelUnusable, which names the file, for a kind that cannot be built.

    Its post-processor adds the BOS token where the file, or else its kind, says so. As with every tokenizer of the
    library, special tokens are recognized in a text unless `encode_special_tokens` is set.
    """
    kind = _value(file, "model", None)
    if kind not in _BUILDERS:
        what = "no tokenizer" if kind is None else f"a tokenizer of the kind {kind!r}, which Lacuna cannot build"
        raise ModelUnusable(f"{file.paths[0]} has {what}.", _OTHERWISE)
    vocabulary = read_vocabulary(file)
    tokenizer, begin = _BUILDERS[kind](file, vocabulary)
    tokenizer.add_tokens(vocabulary.added())
    if begin is not None and 0 <= begin < len(vocabulary.tokens):
        name = vocabulary.tokens[begin]
        tokenizer.post_processor = processors.TemplateProcessing([name, "$A"], [name, "$A", "$B"], [(name, begin)])
    return tokenizer


def _byte_level(file: GgufFile, vocabulary: GgufVocabulary) -> tuple[Tokenizer, int | None]:
    """The tokenizer, and the BOS token before its texts."""
    splitting, merges = _splitting(file), _value(file, "merges", None)
    if merges is None:
        raise ModelUnusable(f"{file.paths[0]} has a tokenizer without merges, which Lacuna cannot build.", _OTHERWISE)
    return byte_level_tokenizer(vocabulary, merges, splitting), _begin(file, splitting.adds_begin, None)


def _sentencepiece(file: GgufFile, vocabulary: GgufVocabulary) -> tuple[Tokenizer, int | None]:
    """The tokenizer, and the BOS token before its texts."""
    return sentencepiece_tokenizer(vocabulary, _value(file, "add_space_prefix", True)), _begin(file, True, 1)


_BUILDERS = {"gpt2": _byte_level, "llama": _sentencepiece}


def _begin(file: GgufFile, added: bool, token: int | None) -> int | None:
    """The BOS token if one is added. `added` and `token` hold for a file that does not say."""
    begin: int | None = _value(file, "bos_token_id", token)
    return begin if _value(file, "add_bos_token", added) else None


def _splitting(file: GgufFile) -> Splitting:
    name = _value(file, "pre", "default")
    if name not in SPLITTINGS:
        logger.warning(
            "%s splits texts as %r does, which Lacuna does not know; it splits them as GPT-2 does, and answers may be "
            "worse. %s",
            file.paths[0], name, _OTHERWISE,
        )  # fmt: skip
    return SPLITTINGS.get(name, SPLITTINGS["gpt-2"])


def _value(file: GgufFile, key: str, default: Any) -> Any:
    return file.metadata.get(f"tokenizer.ggml.{key}", default)
