"""Decoding tokens one by one: the text is that of all tokens together, at the cost of the last few."""

from __future__ import annotations

from itertools import pairwise

from helpers import CountingTokenizer, byte_tokenizer, family_text
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers

from lacuna_inference.api import Stop, TokenLogprob
from lacuna_inference.decoding.hole import Hole
from lacuna_inference.models.loading.sources import bundled_folder
from lacuna_inference.prompt.families import by_name
from lacuna_inference.prompt.tokenizer import PromptTokenizer

BYTES = family_text("incoder")
BUNDLED = PromptTokenizer(Tokenizer.from_file(str(bundled_folder() / "tokenizer.json")), by_name("lacuna"))


def byte_fallback() -> PromptTokenizer:
    """A Llama-like tokenizer that spells a character without a token in bytes."""
    pieces = ["<unk>", "▁", "a", "b", "▁a", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("▁", "a")], byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    return PromptTokenizer(tokenizer, by_name("plain"))


FALLBACK = byte_fallback()


@given(st.binary(max_size=80), st.lists(st.sampled_from([b"\xef", b"\xbf", b"\xbd", b"\xf0", b"a"]), max_size=60))
@example(b"", [b"\xef", b"\xbf", b"\xbd"] * 20)
@example(b"", [b"\xbf"] * 40)
def test_any_bytes_decode_as_they_do_together(some: bytes, others: list[bytes]) -> None:
    alphabet = {piece: token for token, piece in BYTES.vocabulary.bytes_of.items()}
    ids = [alphabet[bytes([byte])] for byte in some + b"".join(others)]
    detokenizer = BYTES.detokenizer()
    for count in range(1, len(ids) + 1):
        assert detokenizer.add(ids[count - 1]) == BYTES.decode(ids[:count])


@given(st.lists(st.integers(0, BUNDLED.size - 1), max_size=40))
def test_any_tokens_decode_as_they_do_together(ids: list[int]) -> None:
    detokenizer = BUNDLED.detokenizer()
    for count in range(1, len(ids) + 1):
        assert detokenizer.add(ids[count - 1]) == BUNDLED.decode(ids[:count])


@given(st.text("ab 漢é😀", max_size=30))
def test_characters_spelled_in_bytes_come_whole(text: str) -> None:
    ids = FALLBACK.encode(text)
    detokenizer = FALLBACK.detokenizer()
    shown = ["", *(detokenizer.add(token) for token in ids)]
    assert shown[-1] == FALLBACK.decode(ids)
    assert all(after.startswith(before) for before, after in pairwise(shown))


def written(tokens: int, reported: list[TokenLogprob]) -> tuple[Hole, CountingTokenizer]:
    """A hole of `tokens` tokens; they are appended to `reported` as they become certain."""
    counting = CountingTokenizer(byte_tokenizer(list(by_name("starcoder").sentinels)))
    text = PromptTokenizer(counting.as_tokenizer(), by_name("starcoder"))
    line = text.encode("    return 漢, 1\n")
    hole = Hole("", Stop(tokens, dedent_below=2, strings=("\n\n",)), text)
    counting.decoded = 0
    for number in range(tokens):
        hole.take(line[number % len(line)], -0.5)
        reported += hole.certain_tokens(len(reported))
    return hole, counting


def test_a_long_answer_costs_no_more_per_token_than_a_short_one() -> None:
    short, long = (written(tokens, [])[1].decoded for tokens in (200, 2000))
    assert long < 11 * short


def test_tokens_reported_during_decoding_are_the_answer() -> None:
    reported: list[TokenLogprob] = []
    hole, _ = written(100, reported)
    assert tuple(reported) == hole.certain_tokens()
    assert "".join(token.text for token in reported) == hole.fill().text
