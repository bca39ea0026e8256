"""The vocabulary in a GGUF file: its tokens, their types, and which of them are special."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.gguf.header import GgufFile

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""The values in `tokenizer.ggml.token_type`: plain numbers, because 150,000 are compared."""

_ALWAYS_SPECIAL = (
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
    "<|prefix|>", "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>",
    "<|code_suffix|>", "<|suffix|>", "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>",
    "▁<MID>", "<|code_middle|>", "<|middle|>", "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]",
    "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>", "<|eot_id|>", "<|im_end|>",
    "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>", "<|endoftext|>", "</s>",
    "<|eom_id|>", "<EOT>", "_<EOT>", "▁<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>",
    "<｜end▁of▁sentence｜>",
)  # fmt: skip
"""Tokens that are special in every vocabulary: some files have them as ordinary or as user-defined tokens."""


@dataclass(frozen=True, slots=True)
class GgufVocabulary:
    """The tokens of a file with the type and the score of each; what has the highest score is merged first.

    `ids` lacks the tokens that only fill the vocabulary up to the number of embeddings: no text becomes them.
    """

    tokens: Sequence[str]
    types: Sequence[int]
    scores: Sequence[float]
    ids: Mapping[str, int]

    def added(self) -> list[AddedToken]:
        """The tokens that are found in a text before it is split into words, in the order of their ids."""
        special = {i for i, kind in enumerate(self.types) if kind in (UNKNOWN, CONTROL)}
        special.update(self.ids[token] for token in _ALWAYS_SPECIAL if token in self.ids)
        found = special.union(i for i, kind in enumerate(self.types) if kind == USER_DEFINED)
        names = [(self.tokens[i], i in special) for i in sorted(found) if self.tokens[i] in self.ids]
        return [AddedToken(name, special=is_special, normalized=False) for name, is_special in names]


def read_vocabulary(file: GgufFile) -> GgufVocabulary:
    """The vocabulary in the metadata of `file`. Raises ModelUnusable if there is none, or if it is damaged."""
    tokens = _array(file, "tokens")
    if not tokens:
        raise ModelUnusable(f"{file.paths[0]} has no tokens.", "Fetch the model from another place.")
    types = _array(file, "token_type") or [NORMAL] * len(tokens)
    scores = _array(file, "scores") or [0.0] * len(tokens)
    if not len(tokens) == len(types) == len(scores):
        counts = f"{len(tokens):,} tokens, {len(types):,} types, and {len(scores):,} scores"
        raise ModelUnusable(f"{file.paths[0]} is damaged: it has {counts}.", "Fetch the file again.")
    names = [token or f"[EMPTY_{i}]" for i, token in enumerate(tokens)] if "" in tokens else tokens
    ids = dict(zip(names, range(len(names)), strict=True))
    for filler in _fillers(names, types):
        ids.pop(names[filler], None)
    return GgufVocabulary(names, types, scores, ids)


def _fillers(tokens: Sequence[str], types: Sequence[int]) -> list[int]:
    """The ids of tokens without a meaning. Older converters gave them the type of tokens that users define."""
    unused = [i for i, kind in enumerate(types) if kind == UNUSED]
    return unused + [i for i, kind in enumerate(types) if kind == USER_DEFINED and tokens[i] == f"[PAD{i}]"]


def _array(file: GgufFile, key: str) -> list[Any]:
    value = file.metadata.get(f"tokenizer.ggml.{key}")
    return value if isinstance(value, list) else []
