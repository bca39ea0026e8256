"""Trains the tokenizer: byte-level BPE for Python, with InCoder's sentinels as single tokens.

No token crosses a line end. Runs of newlines and of two or more spaces are separate, so that an indentation is one
token. A word has at most one blank and one other character in front of it (".append", " *args"). Digits are separate.
"""

from __future__ import annotations

import random
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from training.corpus import read_documents
from training.paths import Paths

VOCABULARY = 8192
MASKS = 16
END_OF_TEXT = "<|endoftext|>"
END_OF_MASK = "<|endofmask|>"
SPECIAL_TOKENS = [END_OF_TEXT, *(f"<|mask:{i}|>" for i in range(MASKS)), END_OF_MASK]
_SAMPLE_BYTES = 60_000_000
_PRE_TOKENS = Regex(r"\n+|\r+| {2,}|\t+|\d| ?[^\s\p{L}\p{N}]?\p{L}+| ?[^\s\p{L}\p{N}]+|\s")


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a special token. Raises KeyError if the tokenizer lacks it."""
    known = tokenizer.token_to_id(token)
    if known is None:
        raise KeyError(token)
    return known


def train_tokenizer(paths: Paths, vocabulary: int = VOCABULARY, sample_bytes: int = _SAMPLE_BYTES) -> Tokenizer:
    """Trains on a seeded sample of the training part and writes tokenizer.json."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_PRE_TOKENS, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=24,
    )
    tokenizer.train_from_iterator(_sample(paths.train_corpus, sample_bytes), trainer)
    new = paths.tokenizer.with_suffix(".new")
    tokenizer.save(str(new))
    new.replace(paths.tokenizer)
    return tokenizer


def _sample(corpus: Path, limit: int) -> list[str]:
    texts = [document["text"] for document in read_documents(corpus)]
    random.Random(0).shuffle(texts)
    taken, size = [], 0
    for text in texts:
        taken.append(text)
        size += len(text)
        if size > limit:
            break
    return taken
