"""Text and token ids: user text never becomes a sentinel, and decoding loses nothing."""

from __future__ import annotations

import json

from helpers import ScriptedForward, byte_tokenizer, family_text
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from lacuna_inference.api import CancelToken, Request, StopReason
from lacuna_inference.cache.pool import PrefixCachePool
from lacuna_inference.decoding.answer import answer
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.prompt.families import by_name
from lacuna_inference.prompt.tokenizer import PromptTokenizer

INCODER = family_text("incoder")
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=40)
WITH_SENTINELS = st.lists(st.one_of(ANY_TEXT, st.sampled_from(["<|endoftext|>", "<|mask:0|>", "<|endofmask|>"]))).map(
    "".join
)


@given(WITH_SENTINELS)
def test_user_text_is_never_a_sentinel_and_round_trips(text: str) -> None:
    ids = INCODER.encode(text)
    assert all(i < 256 for i in ids)
    assert INCODER.decode(ids) == text.rstrip("\ufffd")


def test_an_incomplete_character_is_held_back() -> None:
    ids = INCODER.encode("x = '漢'")
    assert INCODER.decode(ids[: len("x = '") + 1]) == "x = '"


def test_blanks_before_punctuation_survive_decoding() -> None:
    assert INCODER.decode(INCODER.encode("from . import x , y")) == "from . import x , y"


def _sentencepiece(special: list[str]) -> Tokenizer:
    """A Llama-like tokenizer: a blank is U+2581, one is put before the text, and the decoder drops the first."""
    pieces = ["<unk>", "▁", "a", "b", "▁a", "▁b", "\n"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("▁", "a"), ("▁", "b")], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(special)
    return tokenizer


def test_sentencepiece_keeps_leading_blanks_and_adds_none_to_the_suffix() -> None:
    text = PromptTokenizer(_sentencepiece(list(by_name("codellama").sentinels)), by_name("codellama"))
    assert text.encode("a") == [4]
    assert text.encode_bare("b") == [3]
    assert text.decode([5]) == " b"
    assert text.decode([3]) == "b"


def test_a_sentinel_in_the_text_adds_no_blank() -> None:
    text = PromptTokenizer(_sentencepiece(["<s>", *by_name("codellama").sentinels[1:]]), by_name("codellama"))
    whole = text.decode(text.encode("a<s>b"))
    assert "▁" not in whole.strip()
    assert whole.count(" ") == 1


def test_all_special_tokens_but_the_end_tokens_are_banned() -> None:
    text = PromptTokenizer(
        byte_tokenizer(["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<|endoftext|>"]), by_name("starcoder")
    )
    assert text.banned == {256, 257, 258}
    assert text.ends == {259}


def with_gap(tokenizer: Tokenizer, start: int, width: int) -> Tokenizer:
    """The same tokenizer with `width` more ids from `start` on that have no token."""
    content = json.loads(tokenizer.to_str())
    content["model"]["vocab"] = {
        name: token + width * (token >= start) for name, token in tokenizer.get_vocab(with_added_tokens=True).items()
    }
    for token in content["added_tokens"]:
        token["id"] += width
    return Tokenizer.from_str(json.dumps(content))


def test_the_name_of_an_added_token_is_its_text() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([AddedToken("für", normalized=False)])
    assert PromptTokenizer(tokenizer, by_name("plain")).vocabulary.bytes_of[256] == "für".encode()


def test_a_vocabulary_with_a_gap_is_as_large_as_its_highest_id() -> None:
    family = by_name("lacuna")
    names = list(dict.fromkeys([*family.sentinels, *family.ends]))
    text = PromptTokenizer(with_gap(byte_tokenizer(names), 256, 20), family)
    end = text.sentinel("<|endofmask|>")
    assert text.size == 1 + max(text.sentinel(name) for name in names) == 256 + len(names) + 20
    written = [*text.encode("x"), end]
    mask = text.sentinel("<|mask:2|>")
    forward = ScriptedForward(text.size + 4, lambda ids: written[min(len(ids) - ids.index(mask) - 1, 1)])
    decoder = Decoder(PrefixCachePool(forward), text, 256)
    fill = answer(decoder, "scripted", Request(("y = 1\n", "\n")), CancelToken(), 0.0).candidates[0].fills[0]
    assert (fill.text, fill.reason) == ("x", StopReason.END_OF_HOLE)
