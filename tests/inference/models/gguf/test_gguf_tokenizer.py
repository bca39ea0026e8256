"""Tokenizers built from the metadata of GGUF files. The words and ids that are expected are llama.cpp's."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from gguf_files import write_gguf
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.gguf.header import read_gguf
from lacuna_inference.models.gguf.tokenizer import build_tokenizer
from lacuna_inference.models.gguf.vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED
from lacuna_inference.models.loading.sources import bundled_folder
from lacuna_inference.prompt.families import by_name
from lacuna_inference.prompt.tokenizer import PromptTokenizer

ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
SAMPLE = "I'm DON'T 12345 x+=e\u0301t;\n\n  \t-1\r\n漢字、HTTPServer ok"
PIECES = (("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL),
          *((f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)),
          ("▁", -9.0, NORMAL), ("a", -9.0, NORMAL), ("b", -9.0, NORMAL), ("c", -9.0, NORMAL))  # fmt: skip
"""The pieces that each sentencepiece vocabulary here begins with."""


def built(folder: Path, **metadata: Any) -> Tokenizer:
    return build_tokenizer(read_gguf(write_gguf(folder / "model.gguf", metadata)))


def byte_level(folder: Path, *merges: str, added: tuple[tuple[str, int], ...] = (), **more: Any) -> Tokenizer:
    """Ids 0 to 255 are the bytes in the order of the alphabet, then `merges`, then `added`, which have types."""
    tokens = [*ALPHABET, *(merge.replace(" ", "") for merge in merges), *(token for token, _ in added)]
    types = [NORMAL] * (len(tokens) - len(added)) + [kind for _, kind in added]
    standard = {
        "model": "gpt2",
        "pre": "gpt-2",
        "tokens": tokens,
        "token_type": types,
        "merges": list(merges) or ["! !"],
    }
    if not merges:
        tokens.append("!!")
        types.append(NORMAL)
    return built(folder, **standard | more)


def sentencepiece(folder: Path, *pieces: tuple[str, float], **more: Any) -> Tokenizer:
    """A vocabulary of PIECES, and of `pieces` with their scores."""
    all_pieces = [*PIECES, *((piece, score, NORMAL) for piece, score in pieces)]
    tokens, scores, types = (list(column) for column in zip(*all_pieces, strict=True))
    return built(folder, **{"model": "llama", "tokens": tokens, "scores": scores, "token_type": types} | more)


def tokens_of(tokenizer: Tokenizer, text: str) -> list[str]:
    return tokenizer.encode(text, add_special_tokens=False).tokens


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("default", "I|'|m| DON|'|T| |123|45| x|+=|e|\u0301|t|;|\n\n  \t|-|1|\r|\n|漢字|、|HTTPServer| ok"),
        ("gpt-2", "I|'m| DON|'|T| 12345| x|+=|e|\u0301|t|;|\n\n  |\t|-|1|\r|\n|漢字|、|HTTPServer| ok"),
        ("starcoder", "I|'m| DON|'|T| |1|2|3|4|5| x|+=|e|\u0301|t|;|\n\n  |\t|-|1|\r|\n|漢字|、|HTTPServer| ok"),
        ("llama-bpe", "I|'m| DON|'T| |123|45| x|+=|e|\u0301t|;\n\n|  |\t|-|1|\r\n|漢字|、HTTPServer| ok"),
        ("qwen2", "I|'m| DON|'T| |1|2|3|4|5| x|+=|e|\u0301t|;\n\n|  |\t|-|1|\r\n|漢字|、HTTPServer| ok"),
        ("qwen35", "I|'m| DON|'T| |1|2|3|4|5| x|+=|e\u0301t|;\n\n|  |\t|-|1|\r\n|漢字|、HTTPServer| ok"),
        ("seed-coder", "I|'m| DON|'T| |1|2|3|4|5| x|+=|e|\u0301t|;|\n\n|  |\t|-|1|\r\n|漢字|、HTTPServer| ok"),
        ("gpt-4o", "I'm| DON'T| |123|45| x|+=|e|\u0301t|;\n\n|  |\t|-|1|\r\n|漢字|、HTTPServer| ok"),
        ("tekken", "I|'m| DON|'T| |1|2|3|4|5| x|+=|e|\u0301t|;\n\n|  |\t|-|1|\r\n|漢字|、HTTPServer| ok"),
        ("deepseek-coder", "I|'|m| DON|'|T| |1|2|3|4|5| x|+=|e|\u0301|t|;|\n|\n|  |\t-|1|\r|\n|漢字|、|HTTPServer| ok"),
        ("deepseek-llm", "I|'|m| DON|'|T| |12345| x|+=|e|\u0301|t|;|\n|\n|  |\t-|1|\r|\n|漢字|、|HTTPServer| ok"),
        ("deepseek-v3", "I|'m| DON|'T| |123|45| x|+=|e\u0301t|;\n\n|  |\t|-|1|\r\n|漢字|、|HTTPServer| ok"),
        ("falcon", "I|'|m| DON|'|T| |123|45| x|+=|e|\u0301|t|;|\n\n  \t|-|1|\r|\n|漢字|、|HTTPServer| ok"),
        ("bloom", "I'm| DON'T| 12345| x+=e\u0301t;|\n\n  \t|-1|\r\n|漢字|、|HTTPServer| ok"),
    ],
)
def test_texts_are_split_as_the_file_names_it(name: str, words: str, tmp_path: Path) -> None:
    pre_tokenizer = byte_level(tmp_path, pre=name).pre_tokenizer
    assert pre_tokenizer is not None
    assert "|".join(SAMPLE[a:b] for _, (a, b) in pre_tokenizer.pre_tokenize_str(SAMPLE)) == words


def test_an_unknown_splitting_is_reported_and_as_gpt_2s(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        unknown = byte_level(tmp_path, "a b", pre="future")
    assert "'future'" in caplog.text
    assert str(tmp_path) in caplog.text
    assert unknown.to_str() == byte_level(tmp_path, "a b", pre="gpt-2").to_str()


@pytest.mark.parametrize(("name", "tokens"), [("llama-bpe", ["abc"]), ("qwen2", ["ab", "c"])])
def test_a_word_that_is_a_token_needs_no_merges_in_llama_3(name: str, tokens: list[str], tmp_path: Path) -> None:
    assert tokens_of(byte_level(tmp_path, "a b", added=(("abc", NORMAL),), pre=name), "abc") == tokens


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    """The bundled model's tokenizer.json, with GPT-2's splitting."""
    content: dict[str, Any] = json.loads((bundled_folder() / "tokenizer.json").read_text())
    content["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return content


@pytest.fixture(scope="module")
def both(published: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizer of a GGUF file, and that of the tokenizer.json that it was converted from."""
    vocabulary, special = published["model"]["vocab"], {token["content"] for token in published["added_tokens"]}
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    types = [CONTROL if token in special else NORMAL for token in tokens]
    merges = [" ".join(merge) for merge in published["model"]["merges"]]
    folder = tmp_path_factory.mktemp("bundled")
    ours = built(folder, model="gpt2", pre="gpt-2", tokens=tokens, token_type=types, merges=merges)
    return ours, Tokenizer.from_str(json.dumps(published))


@given(text=st.text() | st.text("\n\t '\"aAéſ1²漢=(", max_size=30))
def test_the_ids_and_texts_are_those_of_the_published_tokenizer(both: tuple[Tokenizer, Tokenizer], text: str) -> None:
    ours, theirs = both
    ours.encode_special_tokens = theirs.encode_special_tokens = True
    ids = ours.encode(text).ids
    assert ids == theirs.encode(text).ids
    assert ours.decode(ids, skip_special_tokens=False) == text


def test_the_vocabulary_is_that_of_the_published_tokenizer(both: tuple[Tokenizer, Tokenizer]) -> None:
    ours, theirs = both
    assert ours.get_vocab(with_added_tokens=True) == theirs.get_vocab(with_added_tokens=True)
    assert {i: t.special for i, t in ours.get_added_tokens_decoder().items()} == {
        i: t.special for i, t in theirs.get_added_tokens_decoder().items()
    }


def test_a_family_finds_its_sentinels_and_reads_none_in_a_text(tmp_path: Path) -> None:
    family = by_name("starcoder")
    sentinels = tuple((sentinel, CONTROL) for sentinel in family.sentinels)
    tokenizer = PromptTokenizer(byte_level(tmp_path, added=sentinels, pre="starcoder"), family)
    ids = tokenizer.encode("a<fim_prefix>b")
    assert tokenizer.sentinel("<fim_prefix>") not in ids
    assert tokenizer.decode(ids) == "a<fim_prefix>b"
    assert tokenizer.spells


@pytest.mark.parametrize(("kind", "special"), [(UNKNOWN, True), (CONTROL, True), (USER_DEFINED, False)])
def test_control_tokens_are_special_and_tokens_of_users_are_not(kind: int, special: bool, tmp_path: Path) -> None:
    tokenizer = byte_level(tmp_path, added=(("<tool>", kind),))
    (token,) = tokenizer.get_added_tokens_decoder().values()
    assert (token.content, token.special) == ("<tool>", special)
    assert tokens_of(tokenizer, "a<tool>") == ["a", "<tool>"]
    tokenizer.encode_special_tokens = True
    assert ("<tool>" in tokens_of(tokenizer, "a<tool>")) is not special


@pytest.mark.parametrize("kind", [NORMAL, USER_DEFINED])
def test_a_sentinel_is_special_whatever_its_type(kind: int, tmp_path: Path) -> None:
    (token,) = byte_level(tmp_path, added=(("<|fim_prefix|>", kind),)).get_added_tokens_decoder().values()
    assert token.special


def test_tokens_that_fill_the_vocabulary_up_are_left_out(tmp_path: Path) -> None:
    tokenizer = byte_level(
        tmp_path, "a b", added=(("<unused>", UNUSED), ("[PAD258]", USER_DEFINED), ("x", USER_DEFINED))
    )
    assert tokenizer.token_to_id("[PAD258]") is tokenizer.token_to_id("<unused>") is None


def test_what_an_unknown_byte_stands_between_is_not_merged(tmp_path: Path) -> None:
    with_all = byte_level(tmp_path, "a b")
    tokens = [token for token in ALPHABET if token != "Ģ"]  # the byte 0x80
    without = built(tmp_path, model="gpt2", pre="gpt-2", tokens=[*tokens, "Âł", "ab"], merges=["a b"])
    assert tokens_of(with_all, "a\x80b") == ["a", "Â", "Ģ", "b"]
    assert tokens_of(without, "a\x80b") == ["a", "Â", "b"]


def test_merges_of_unknown_tokens_are_left_out(tmp_path: Path) -> None:
    assert tokens_of(byte_level(tmp_path, "a b", merges=["x y", "x", "a b"]), "xyab") == ["x", "y", "ab"]


def test_a_letter_that_looks_like_a_byte_is_decoded_as_a_letter(tmp_path: Path) -> None:
    tokenizer = built(
        tmp_path, model="gpt2", pre="deepseek-coder", tokens=ALPHABET, merges=["! !"],
        token_type=[USER_DEFINED if token == "ü" else NORMAL for token in ALPHABET],
    )  # fmt: skip
    ids = tokenizer.encode("für").ids
    assert ids[1] == ALPHABET.index("ü")
    assert tokenizer.decode(ids) == "für"


def test_an_empty_token_has_a_name(tmp_path: Path) -> None:
    assert byte_level(tmp_path, added=(("", NORMAL), ("z!", NORMAL))).token_to_id("z!") == 257


def test_sentencepiece_merges_the_highest_score_first(tmp_path: Path) -> None:
    tokenizer = sentencepiece(tmp_path, ("ab", -2.0), ("bc", -1.0), ("▁a", -3.0))
    assert tokens_of(tokenizer, "abc ab") == ["▁a", "bc", "▁", "ab"]


def test_sentencepiece_merges_runs_of_blanks_of_equal_scores(tmp_path: Path) -> None:
    tokenizer = sentencepiece(tmp_path, *(("▁" * n, -9.0) for n in (2, 4, 3)), add_space_prefix=False)
    assert tokens_of(tokenizer, " " * 11 + "a") == ["▁▁▁▁", "▁▁▁▁", "▁▁▁", "a"]


def test_sentencepiece_writes_unknown_characters_as_bytes(tmp_path: Path) -> None:
    tokenizer = sentencepiece(tmp_path)
    assert tokens_of(tokenizer, "é\n") == ["▁", "<0xC3>", "<0xA9>", "<0x0A>"]
    assert tokenizer.decode(tokenizer.encode("é\n").ids[1:]) == "é\n"


def test_no_text_becomes_a_control_token_of_sentencepiece(tmp_path: Path) -> None:
    tokenizer = sentencepiece(tmp_path, ("<", -1.0), ("/s>", -1.0), ("s", -1.0), (">", -1.0), ("/", -1.0), ("s>", -1.0))
    tokenizer.encode_special_tokens = True
    assert tokens_of(tokenizer, "</s>") == ["▁", "<", "/s>"]


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁") | st.sampled_from(" abc\n")))
@pytest.mark.parametrize("add_space_prefix", [True, False])
def test_sentencepiece_decodes_its_own_ids(
    add_space_prefix: bool, text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pieces = (("▁▁", -1.0), ("▁▁▁▁", -2.0), ("▁a", -3.0), ("ab", -4.0))
    tokenizer = sentencepiece(tmp_path_factory.mktemp("model"), *pieces, add_space_prefix=add_space_prefix)
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


@pytest.mark.parametrize(
    ("metadata", "begins"),
    [({}, True), ({"add_bos_token": False}, False), ({"add_bos_token": True}, True)],
)
def test_sentencepiece_adds_bos_unless_the_file_says_no(metadata: dict[str, Any], begins: bool, tmp_path: Path) -> None:
    tokenizer = sentencepiece(tmp_path, **metadata)
    assert (tokenizer.encode("a").ids[0] == 1) is begins
    assert tokenizer.encode("a", add_special_tokens=False).ids[0] != 1


@pytest.mark.parametrize(
    ("metadata", "begins"),
    [
        ({"pre": "qwen2"}, False),
        ({"pre": "qwen2", "add_bos_token": True}, True),
        ({"pre": "llama-bpe"}, True),
        ({"pre": "llama-bpe", "add_bos_token": False}, False),
    ],
)
def test_byte_level_adds_bos_where_the_file_or_its_splitting_says(
    metadata: dict[str, Any], begins: bool, tmp_path: Path
) -> None:
    tokenizer = byte_level(tmp_path, "a b", added=(("<s>", CONTROL),), bos_token_id=257, **metadata)
    assert tokenizer.encode("ab").ids == ([257] if begins else []) + [256]


def test_no_bos_is_added_that_the_vocabulary_lacks(tmp_path: Path) -> None:
    assert byte_level(tmp_path, "a b", add_bos_token=True).encode("ab").ids == [256]
    assert byte_level(tmp_path, "a b", add_bos_token=True, bos_token_id=999).encode("ab").ids == [256]


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"model": "t5", "tokens": ["a"]}, ["model.gguf", "'t5'", "safetensors"]),
        ({"general.name": "none"}, ["model.gguf", "no tokenizer"]),
        ({"model": "gpt2"}, ["model.gguf", "no tokens"]),
        ({"model": "gpt2", "tokens": ["a"]}, ["model.gguf", "without merges", "safetensors"]),
        ({"model": "llama", "tokens": ["a", "b"], "token_type": [1]}, ["model.gguf", "damaged", "Fetch"]),
    ],
)
def test_what_cannot_be_built_is_named(metadata: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable) as raised:
        built(tmp_path, **metadata)
    assert all(word in str(raised.value) for word in words)
