"""Tokenising what changed only: the ids are those of the whole text, and an edit costs little."""

from __future__ import annotations

import pytest
from helpers import byte_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers

from lacuna_inference.models.sources import bundled_folder
from lacuna_inference.prompt.families import by_name
from lacuna_inference.prompt.incremental import IncrementalEncoder
from lacuna_inference.prompt.tokens import TokenText

MERGES = ["Ġ Ġ", "ĠĠ ĠĠ", "Ċ Ġ", "d e", "de f", "Ġ def", ") :", "1 2"]


def gpt2_like() -> Tokenizer:
    return byte_tokenizer(["<|endoftext|>"], MERGES, words=True)


def codegen_like() -> Tokenizer:
    """With runs of blanks as added tokens, found before the text is split."""
    tokenizer = gpt2_like()
    tokenizer.add_tokens([AddedToken(" " * n, normalized=False) for n in range(31, 1, -1)])
    return tokenizer


def starcoder_like() -> Tokenizer:
    tokenizer = gpt2_like()
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level])
    return tokenizer


def qwen_like() -> Tokenizer:
    tokenizer = gpt2_like()
    tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def bundled() -> Tokenizer:
    return Tokenizer.from_file(str(bundled_folder() / "tokenizer.json"))


KINDS = {f.__name__: f() for f in (gpt2_like, codegen_like, starcoder_like, qwen_like, bundled)}
CODE = "def f(x1, x22):\n    if x1 == 12345:\n\n        return [x22, '  é漢e\u0301']\n\n\n" * 6


def encoder_of(kind: str) -> IncrementalEncoder:
    text = TokenText(KINDS[kind], by_name("plain"))
    return text._incremental


EDITS = st.lists(
    st.tuples(st.integers(0, len(CODE)), st.integers(0, 5), st.text("a 1\n\t(é漢\u0301'", max_size=6)), max_size=8
)


@pytest.mark.parametrize("kind", list(KINDS))
@given(edits=EDITS)
def test_the_ids_are_those_of_the_whole_text_after_any_edits(kind: str, edits: list[tuple[int, int, str]]) -> None:
    encoder, text = encoder_of(kind), CODE
    for at, deleted, inserted in [(0, 0, ""), *edits]:
        text = text[:at] + inserted + text[at + deleted :]
        assert encoder.encode(text) == KINDS[kind].encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_key_costs_a_few_characters_and_the_same_text_nothing(kind: str) -> None:
    encoder = encoder_of(kind)
    text = CODE.encode("ascii", "ignore").decode()  # a normaliser could change other characters
    encoder.encode(text)
    before = encoder.encoded
    for key in "return x1 + 12":
        text += key
        encoder.encode(text)
        encoder.encode(text)
    assert encoder.encoded - before < 14 * 40


def test_only_some_texts_are_remembered() -> None:
    encoder = encoder_of("gpt2_like")
    for number in range(100):
        encoder.encode(str(number))
    assert len(encoder._known) == 16
