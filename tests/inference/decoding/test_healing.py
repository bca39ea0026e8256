"""The word at the cursor: left out of the prompt, spelled again, and never part of the answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import MethodType

import pytest
import torch
from helpers import ScriptedCache, ScriptedForward, family_text, scripted_decoder
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from lacuna_inference.api import CancelToken, Request, Stop, StopReason
from lacuna_inference.cache.pool import PrefixCachePool
from lacuna_inference.decoding.answer import answer
from lacuna_inference.decoding.healing import Healing
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.models.loading.sources import bundled_folder
from lacuna_inference.prompt.families import by_name
from lacuna_inference.prompt.planner import PromptSpec, plan
from lacuna_inference.prompt.tokenizer import PromptTokenizer
from lacuna_inference.prompt.vocabulary import Vocabulary, bytes_of, sentencepiece_bytes_of

BUNDLED = PromptTokenizer(Tokenizer.from_file(str(bundled_folder() / "tokenizer.json")), by_name("lacuna"))
LINE = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n"), max_size=30)


@given(st.lists(st.binary(min_size=1, max_size=4), unique=True, max_size=40), st.binary(min_size=1, max_size=5))
def test_agreeing_tokens_are_those_compatible_with_the_text(pieces: list[bytes], wanted: bytes) -> None:
    tokens = dict(enumerate(pieces))
    agreeing = {n for n, piece in tokens.items() if piece.startswith(wanted) or wanted.startswith(piece)}
    found = Vocabulary(tokens).agreeing(wanted).tolist()
    assert set(found) == agreeing
    assert len(found) == len(agreeing)


@given(st.text(max_size=20))
def test_tokens_are_known_by_their_bytes(text: str) -> None:
    ids = BUNDLED.encode(text)
    assert b"".join(BUNDLED.vocabulary.bytes_of[token] for token in ids) == text.encode()


def test_a_character_outside_the_byte_alphabet_is_itself() -> None:
    assert bytes_of("Ġa漢") == " a漢".encode()


@pytest.mark.parametrize(
    ("before", "kept", "healed_prefix"),
    [
        ("x\n    return sel", "    return", " sel"),
        ("x\n    return self.", "    return self", "."),
        ("x\nfoo(", "foo", "("),
        ("x\n    ", "", "    "),
        ("x\n", "", ""),
        ("x = 漢字", "x =", " 漢字"),
    ],
)
def test_the_last_word_of_the_line_is_left_out_of_the_prompt(before: str, kept: str, healed_prefix: str) -> None:
    prompt = plan(PromptSpec((before, "\ny\n"), None, 16), BUNDLED, 256)
    hole = prompt.ids.index(BUNDLED.sentinel("<|mask:2|>"))
    assert BUNDLED.decode(prompt.ids[hole + 1 :]) == kept
    assert prompt.healed_prefix == healed_prefix


@given(LINE, st.text(max_size=60), st.integers(64, 200))
def test_a_healed_prompt_fits_and_loses_nothing_of_the_line(line: str, suffix: str, context: int) -> None:
    prompt = plan(PromptSpec(("first\n" + line, suffix), "x.py", 16), BUNDLED, context)
    assert len(prompt.ids) + 16 <= context
    hole = len(prompt.ids) - prompt.ids[::-1].index(BUNDLED.sentinel("<|mask:2|>"))
    kept = b"".join(BUNDLED.vocabulary.bytes_of[token] for token in prompt.ids[hole:])
    assert line.encode().endswith(kept + prompt.healed_prefix.encode())


@given(LINE, st.integers(0, 1000), st.integers(1, 12))
def test_any_model_spells_the_healed_prefix_and_answers_only_what_follows(line: str, seed: int, most: int) -> None:
    rng = random.Random(seed)
    forward = ScriptedForward(BUNDLED.size, lambda _: rng.randrange(BUNDLED.size))
    decoder = Decoder(PrefixCachePool(forward), BUNDLED, 512)
    fill = answer(decoder, "random", Request((line, "\n"), None, Stop(most)), CancelToken(), 0.0).candidates[0].fills[0]
    held = forward.tokens[forward.tokens.index(BUNDLED.sentinel("<|mask:2|>")) + 1 :]
    written = BUNDLED.decode(held)  # all but the last token
    assert fill.tokens <= most
    assert line.startswith(written) or written.startswith(line)
    assert fill.text.startswith(written[len(line) :])


def test_the_answer_begins_after_the_cursor() -> None:
    decoder = scripted_decoder("foo(1)", "lacuna")
    completions = answer(decoder, "scripted", Request(("fo", "\n"), None, Stop(16)), CancelToken(), 0.0)
    assert completions.candidates[0].text == "o(1)"


def test_healing_takes_no_tokens_from_the_answer() -> None:
    decoder = scripted_decoder("foo", "lacuna")
    one = answer(decoder, "scripted", Request(("fo", "\n"), None, Stop(1)), CancelToken(), 0.0).candidates[0].fills[0]
    none = answer(decoder, "scripted", Request(("foo", "\n"), None, Stop(9)), CancelToken(), 0.0).candidates[0].fills[0]
    assert (one.text, one.tokens) == ("o", 1)
    assert (none.text, none.tokens, none.mean_logprob) == ("", 0, 0.0)


def blank_lover(family: str, written: str) -> Decoder:
    """A model that writes blanks for ever, or `written` where it may not begin with one, and then ends."""
    text = family_text(family, words=True)
    blank, end = text.encode(" ")[0], min(text.ends)
    answer_ids = text.encode(written)

    def logits(self: ScriptedForward, ids: Sequence[int], kv_cache: ScriptedCache, n_logits: int = 1) -> torch.Tensor:
        kv_cache.tokens += ids
        rows = torch.zeros(n_logits, self.vocabulary)
        done = next((n for n in range(len(answer_ids), 0, -1) if kv_cache.tokens[-n:] == answer_ids[:n]), 0)
        rows[:, end if done == len(answer_ids) else answer_ids[done]] = 9.0
        rows[:, blank] += 0.0 if done else 10.0
        return rows

    forward = ScriptedForward(text.size, lambda _: 0)
    forward.step = MethodType(logits, forward)  # type: ignore[method-assign]
    return Decoder(PrefixCachePool(forward), text, 512)


@pytest.mark.parametrize(
    ("family", "prefix"), [("codegen", "x\n    "), ("codegen", "x\n\t"), ("codegen", "x = "), ("starcoder", "x = ")]
)
def test_a_model_that_likes_blanks_writes_no_more_of_them(family: str, prefix: str) -> None:
    decoder = blank_lover(family, "y()")
    fill = answer(decoder, "m", Request((prefix, "\nz\n"), None, Stop(16)), CancelToken(), 0.0).candidates[0].fills[0]
    assert (fill.text, fill.reason) == ("y()", StopReason.END_OF_HOLE)


def test_the_blanks_of_an_empty_line_are_part_of_the_prompt_while_it_is_typed() -> None:
    decoder = scripted_decoder("y", "starcoder")
    evaluated = []
    for line in ("    ", "    y", "    y ", "    y ="):
        request = Request(("x\n" + line, "\nz\n" * 20), None, Stop(4), document_id="d")
        evaluated.append(answer(decoder, "m", request, CancelToken(), 0.0).metrics.evaluated_tokens)
    assert evaluated[0] > 60
    assert max(evaluated[1:]) < 8


def test_the_model_may_end_behind_healed_blanks() -> None:
    text = family_text("codegen", words=True)
    healing = Healing(" ", text)
    healing.take(text.encode(" ")[0])
    allowed = healing.allowed()
    assert allowed is not None
    assert text.ends <= set(allowed.tolist())
    healing.take(min(text.ends))
    assert healing.allowed() is None


def test_a_long_word_is_not_healed() -> None:
    assert plan(PromptSpec(("y = '" + "字" * 100, "\n"), None, 16), BUNDLED, 512).healed_prefix == ""
    assert plan(PromptSpec(("y = " + "x" * 1000, "\n"), None, 16), BUNDLED, 512).healed_prefix == ""


def test_lines_are_encoded_as_the_text_is() -> None:
    text = "def f():\n\n\n    return 1\n\n\n\nx = 2"
    assert BUNDLED.encode_lines(text).tolist() == BUNDLED.encode_bare(text)
    assert len(BUNDLED.encode_lines("x" * 100_000)) < 1001


def test_where_pre_tokens_are_whole_lines_the_last_word_is_healed() -> None:
    text = family_text("incoder")  # bytes, and no pre-tokens at all
    assert text.last_pre_token("import numpy as np") == " np"
    assert text.last_pre_token("f(x") == "f(x"  # a pre-token of few tokens is healed whole
    assert text.last_pre_token("return collections.") == "."
    assert text.last_pre_token("x = " + "y" * 20) == ""


def test_a_sentencepiece_vocabulary_is_healed_too() -> None:
    pieces = {"<unk>": 0, "▁": 1, "a": 2, "▁a": 3, "b": 4, "<0x0A>": 5, "ab": 6, "▁ab": 7}
    spelt = {token: sentencepiece_bytes_of(piece) for piece, token in pieces.items()}
    assert spelt == {0: b"<unk>", 1: b" ", 2: b"a", 3: b" a", 4: b"b", 5: b"\n", 6: b"ab", 7: b" ab"}
    assert sorted(Vocabulary(spelt).agreeing(b" a")) == [1, 3, 7]


def test_a_vocabulary_that_does_not_spell_its_texts_is_not_healed() -> None:
    tokenizer = Tokenizer(models.WordLevel({"<|endoftext|>": 0, "fo": 1, "x": 2, "a": 3}, unk_token="x"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    text = PromptTokenizer(tokenizer, by_name("plain"))
    assert not text.spells
    assert plan(PromptSpec(("fo", ""), None, 8), text, 64).healed_prefix == ""
