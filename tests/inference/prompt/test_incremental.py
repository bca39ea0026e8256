"""Tokenizing only what changed: the ids are those of the whole text, and an edit is cheap."""

from __future__ import annotations

import pytest
from helpers import byte_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers

from lacuna_inference.models.gguf.pre_tokenizers import SPLITTINGS
from lacuna_inference.models.loading.sources import bundled_folder
from lacuna_inference.prompt import incremental
from lacuna_inference.prompt.families import by_name
from lacuna_inference.prompt.incremental import MAX_TEXTS as TEXTS_REMEMBERED
from lacuna_inference.prompt.incremental import SHORT, IncrementalEncoder
from lacuna_inference.prompt.tokenizer import PromptTokenizer

CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = "|".join(
    (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SUFFIX}",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SUFFIX}",
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    )
)
MERGES = ["Ċ Ġ", "Ġ ã", "Ĺ A", "Ġ Ġ", "ĠĠ ĠĠ", "d e", "de f", "Ġ def", ") :", "1 2"]


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


def with_pattern(pattern: str) -> Tokenizer:
    tokenizer = gpt2_like()
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    return tokenizer


def qwen2_like() -> Tokenizer:
    """Its pre-tokens of blanks end at the last line end among them."""
    return with_pattern(CL100K.replace("{1,3}", ""))


def llama3_like() -> Tokenizer:
    return with_pattern(CL100K)


def o200k_like() -> Tokenizer:
    """Where a word is split depends on whether small letters follow its capitals."""
    return with_pattern(O200K)


def added_like() -> Tokenizer:
    """With ordinary tokens that are found before the text is split, in the middle of what would be pre-tokens."""
    tokenizer = qwen2_like()
    tokenizer.add_tokens(["<tool_call>", "end of it", "\n\n##"])
    return tokenizer


def deepseek_like() -> Tokenizer:
    """With a letter that is an added token, and that would be a single byte as any other token."""
    tokenizer = qwen2_like()
    tokenizer.add_tokens([AddedToken("ü", normalized=False)])
    return tokenizer


def smollm_like() -> Tokenizer:
    """Without a token for the byte of a control character, which is left out of the text."""
    tokenizer = gpt2_like()
    steps = [pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Split("ĝ", "removed")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    return tokenizer


def of_gguf(name: str) -> Tokenizer:
    """With one of the ways to split texts that GGUF files name."""
    tokenizer = gpt2_like()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(SPLITTINGS[name].steps())
    return tokenizer


def bundled() -> Tokenizer:
    return Tokenizer.from_file(str(bundled_folder() / "tokenizer.json"))


MAKERS = (
    gpt2_like,
    codegen_like,
    starcoder_like,
    qwen_like,
    qwen2_like,
    llama3_like,
    o200k_like,
    added_like,
    deepseek_like,
    smollm_like,
    bundled,
)
SPLIT_DIFFERENTLY = sorted({splitting: name for name, splitting in SPLITTINGS.items()}.values())
KINDS = {maker.__name__: maker() for maker in MAKERS} | {name: of_gguf(name) for name in SPLIT_DIFFERENTLY}
TEXT_OF = {kind: PromptTokenizer(tokenizer, by_name("plain")) for kind, tokenizer in KINDS.items()}
CODE = "def f(x1, x22):\n    if x1 == 12345:\n\n        return [x22, '  é漢e\u0301']\n    \n\n" * 6


def encoder_of(kind: str) -> IncrementalEncoder:
    return IncrementalEncoder(KINDS[kind], TEXT_OF[kind]._exact_bytes)


TEXTS = st.one_of(
    st.text("aA 1\n\t(é漢\u0301'", max_size=6),
    st.sampled_from(
        [
            "\n",
            "        ",
            "'ll",
            "<tool",
            "_call>",
            "end of",
            " it",
            "\n\n#",
            "#",
            "\r\n",
            "\u3000",
            "漢字AB",
            "ü",
            "\x1d",
        ]
    ),
)
EDITS = st.lists(st.tuples(st.integers(0, len(CODE)), st.integers(0, 5), TEXTS), max_size=8)


@pytest.mark.parametrize("kind", list(KINDS))
@given(edits=EDITS)
def test_the_ids_are_those_of_the_whole_text_after_any_edits(kind: str, edits: list[tuple[int, int, str]]) -> None:
    encoder, text = encoder_of(kind), CODE
    for at, deleted, inserted in [(0, 0, ""), *edits]:
        text = text[:at] + inserted + text[at + deleted :]
        assert encoder.encode(text) == KINDS[kind].encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_key_costs_a_few_characters_and_an_unchanged_text_none(kind: str) -> None:
    encoder = encoder_of(kind)
    text = CODE.encode("ascii", "ignore").decode()  # a normalizer could change other characters
    encoder.encode(text)
    before = encoder.encoded
    for key in "return x1 + 12":
        text += key
        encoder.encode(text)
        encoder.encode(text)
    assert encoder.encoded - before < 14 * 40


@pytest.mark.parametrize(
    ("kind", "before", "old", "new"),
    [
        ("qwen2_like", "y = x\n        ", "return y\n", "\n    z = 1\n"),
        ("llama3_like", "y = x\n\n    ", "def f\n", "\n    y = 2\n"),
        ("qwen2_like", "y = x \u3000\u3000", "y\n", "\n\n"),
        ("o200k_like", "y = 漢字ABCDEFGHIJ", " + 1", "k"),
        ("added_like", "y = <tool_call", " + 1", ">"),
        ("added_like", "y = end of", " x", " it"),
    ],
)
def test_a_pre_token_may_end_elsewhere_when_the_text_after_it_changes(
    kind: str, before: str, old: str, new: str
) -> None:
    encoder = encoder_of(kind)
    encoder.encode(CODE + before + old)
    assert encoder.encode(CODE + before + new) == KINDS[kind].encode(CODE + before + new, add_special_tokens=False).ids


@pytest.mark.parametrize(("kind", "odd"), [("smollm_like", "\x1d"), ("deepseek_like", "ü")])
def test_a_text_is_whole_whose_tokens_spell_it_otherwise(kind: str, odd: str) -> None:
    encoder, text = encoder_of(kind), CODE + odd + CODE
    for more in ("", " + 1", odd, " + 2"):
        text += more
        assert encoder.encode(text) == KINDS[kind].encode(text, add_special_tokens=False).ids


def characters(encoder: IncrementalEncoder, text: str) -> int:
    """The number of characters tokenized to encode `text`."""
    before = encoder.encoded
    encoder.encode(text)
    return encoder.encoded - before


def test_typing_in_one_text_evicts_no_other() -> None:
    encoder = encoder_of("gpt2_like")
    other = CODE[5:]
    encoder.encode(other)
    text = CODE
    for number in range(200):
        text += f"x{number} "
        encoder.encode(text)
        encoder.encode(f"short {number}")
    assert characters(encoder, other) == 0


def test_only_the_latest_texts_are_remembered() -> None:
    encoder = encoder_of("gpt2_like")
    texts = [str(number) * SHORT for number in range(100, 100 + 2 * TEXTS_REMEMBERED)]
    for text in texts:
        encoder.encode(text)
    assert characters(encoder, texts[-TEXTS_REMEMBERED]) == 0
    assert characters(encoder, texts[0]) > 0


def test_fewer_long_texts_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "MAX_CACHE_BYTES", 3 * len(CODE.encode()))
    encoder = encoder_of("gpt2_like")
    texts = [str(number) + CODE for number in range(4)]
    for text in texts:
        encoder.encode(text)
    assert characters(encoder, texts[-1]) == 0
    assert characters(encoder, texts[0]) > 0
