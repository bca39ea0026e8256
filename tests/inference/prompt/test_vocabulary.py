"""The bytes of tokens, for every alphabet that vocabularies use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from lacuna_inference.prompt.vocabulary import Vocabulary, bytes_of, bytes_of_each, sentencepiece_bytes_of


@given(st.text(max_size=20))
def test_byte_level_names_have_the_bytes_of_the_text(text: str) -> None:
    written = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    assert b"".join(bytes_of(name) for name, _ in written) == text.encode()


@given(st.text(st.characters(blacklist_categories=("Cs",)), max_size=20))
def test_every_name_has_bytes(name: str) -> None:
    """Characters outside the alphabet, alone or beside others, stand for themselves."""
    assert bytes_of(name) == b"".join(bytes_of(character) for character in name)


@given(st.lists(st.text(st.characters(blacklist_categories=("Cs",)), max_size=8)))
def test_many_names_have_the_bytes_of_each(names: list[str]) -> None:
    assert bytes_of_each(names) == [bytes_of(name) for name in names]


@given(st.lists(st.text(pre_tokenizers.ByteLevel.alphabet(), max_size=8)))
def test_many_names_of_the_alphabet_have_the_bytes_of_each(names: list[str]) -> None:
    assert bytes_of_each(names) == [bytes_of(name) for name in names]


@pytest.mark.parametrize("outside", ["\x7f", "\x80", "\xa0", "\xad", "\u0144", "語", " ", "\n"])
def test_characters_outside_the_alphabet_are_utf_8(outside: str) -> None:
    assert bytes_of(outside) == outside.encode()


def test_sentencepiece_names() -> None:
    assert [sentencepiece_bytes_of(name) for name in ("▁a", "<0x0A>", "é")] == [b" a", b"\n", "é".encode()]


def test_tokens_that_agree_with_bytes() -> None:
    vocabulary = Vocabulary({0: b"re", 1: b"return", 2: b"r", 3: b"", 4: b"x", 5: b"return "})
    assert sorted(vocabulary.agreeing(b"ret").tolist()) == [0, 1, 2, 5]
    assert sorted(vocabulary.agreeing_before_text(b"return").tolist()) == [0, 1, 2]
