"""Line by line: the ids are those of every line alone, and only new lines are tokenized."""

from __future__ import annotations

import random
import re

import pytest
from helpers import CountingTokenizer, byte_tokenizer, family_text, scripted_decoder
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import CancelToken, Request
from lacuna_inference.decoding.answer import answer
from lacuna_inference.in_file.index import MAX_CODE_POINTS_BEFORE, FileIndex
from lacuna_inference.prompt import lines
from lacuna_inference.prompt.families import by_name
from lacuna_inference.prompt.lines import MAX_LINE_CODE_POINTS, PART_BYTES, LineEncoder
from lacuna_inference.prompt.tokenizer import PromptTokenizer

LINE = st.one_of(st.text("ab 漢<|mask:0|>", max_size=12), st.integers(990, 1010).map(lambda n: "漢x" * (n // 2)))
TEXTS = st.lists(st.tuples(LINE, st.sampled_from(["\n", "\n\n", "\r\n", ""])), max_size=80).map(
    lambda pairs: "".join(line + end for line, end in pairs)
)

FAMILIES = {name: family_text(name) for name in ("lacuna", "codestral")}


def counted(family: str = "lacuna") -> tuple[CountingTokenizer, PromptTokenizer]:
    """A tokenizer of `family`, and the counter of the characters that it has tokenized."""
    sentinels = [*by_name(family).sentinels, *by_name(family).ends]
    counting = CountingTokenizer(byte_tokenizer(list(dict.fromkeys(sentinels))))
    return counting, PromptTokenizer(counting.as_tokenizer(), by_name(family))


def read(index: FileIndex) -> None:
    """Tokenizes both sides of the hole."""
    assert len(index.before) + len(index.after) > 0


@pytest.mark.parametrize("family", list(FAMILIES))
@given(TEXTS, TEXTS)
def test_the_ids_are_those_of_every_line_alone(family: str, one: str, other: str) -> None:
    text = FAMILIES[family]
    for edited in (one, other + one, one[3:]):
        lines_of_it = re.findall(r"[^\n]*\n+|[^\n]+", edited)
        expected = [token for line in lines_of_it for token in text.encode_bare(line[-MAX_LINE_CODE_POINTS:])]
        assert text.encode_lines(edited).tolist() == expected


def test_a_key_in_a_file_of_many_lines_costs_no_more_than_its_line() -> None:
    counting, text = counted()
    numbers = random.Random(0)
    above = "".join(f"{numbers.randrange(10**6)},\n" for _ in range(25_000))
    read(FileIndex((above + "x", above), "", text))
    before = counting.characters
    for typed in ("xy", "xyz", "xyz\n"):
        read(FileIndex((above + typed, above), "", text))
    assert counting.characters - before < 1000


def test_moving_a_window_over_a_long_file_costs_only_its_edges() -> None:
    counting, text = counted()
    file = "".join(f"value_{n} = {n}\n" for n in range(20_000))
    assert len(file) > MAX_CODE_POINTS_BEFORE + 40_000
    read(FileIndex((file[: MAX_CODE_POINTS_BEFORE + 1000],), "", text))
    before = counting.characters
    for end in range(MAX_CODE_POINTS_BEFORE + 1001, MAX_CODE_POINTS_BEFORE + 1101, 10):
        read(FileIndex((file[:end],), "", text))
    assert counting.characters - before < 5000


def test_the_first_key_in_a_large_file_is_one_call_and_forgets_no_prompt() -> None:
    counting, text = counted()
    prompt = "def f(x):\n    return x\n" * 20
    text.encode(prompt)
    before = counting.calls
    text.encode_lines("".join(f"value_{n} = {n}\n" for n in range(5000)))
    assert counting.calls - before == 1
    text.encode(prompt)
    assert counting.calls - before == 1


def test_a_large_file_can_be_tokenized_in_parts() -> None:
    counting, text = counted()
    file = "".join(f"value_{n} = {n}\n" for n in range(5000))
    costs, before = list[int](), 0
    for _ in text.lines_in_parts(file):
        costs.append(counting.characters - before)
        before = counting.characters
    assert len(costs) > 2
    assert max(costs) < 2 * PART_BYTES
    assert text.encode_lines(file).tolist() == family_text("lacuna").encode_lines(file).tolist()
    assert counting.characters - before < 2 * PART_BYTES
    assert list(text.lines_in_parts(file)) == []
    assert list(text.lines_in_parts("short\n")) == []


def test_a_file_is_not_tokenized_unless_it_is_used() -> None:
    decoder = scripted_decoder("x", "starcoder")
    counting, text = counted("starcoder")
    object.__setattr__(decoder, "tokenizer", text)
    file = "".join(f"value_{n} = {n}\n" for n in range(5000))
    answer(decoder, "scripted", Request((file, "\n")), CancelToken(), 0.0)
    assert counting.characters < 30_000  # what the prompt shows, searched in steps


def test_the_least_recently_used_lines_are_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_CACHE_BYTES", 30)
    seen: list[str] = []

    def encode_all(texts: list[str]) -> list[list[int]]:
        seen.extend(texts)
        return [[len(text)] for text in texts]

    encoder = LineEncoder(encode_all)  # type: ignore[arg-type]
    for text in ("first line\n", "second line\n", "first line\n", "third line\n", "first line\n", "second line\n"):
        assert encoder.encode(text).tolist() == [len(text)]
    assert seen == ["first line\n", "second line\n", "third line\n", "second line\n"]
