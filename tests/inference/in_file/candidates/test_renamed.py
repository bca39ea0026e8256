"""Copies between sides similar to the hole's, with names replaced to fit."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.in_file.candidates import renamed as module
from lacuna_inference.in_file.candidates.renamed import MAX_CODE_POINTS_BEFORE, renamed

SIZE = "    @property\n    def size(self):\n        return self._size\n\n"
PARTS = st.lists(st.sampled_from(["a", "b_c", "A", "1", "(", ")", "\n", "\n    ", " ", "漢", "_"]), max_size=30)
TEXTS = PARTS.map("".join)


def texts(marked: str, file: str = SIZE) -> list[str]:
    """The candidates for the hole at the mark | in `marked`, which is appended to `file`."""
    before, after = marked.split("|")
    return [candidate.text for candidate in renamed(file + before, after)]


def test_names_are_taken_from_the_sides() -> None:
    assert "self._age" in texts("    @property\n    def age(self):\n        return |\n\n    @property\n")


def test_a_copy_may_come_after_the_hole() -> None:
    before, after = "    @property\n    def age(self):\n        return ", "\n\n" + SIZE + "    @property\n"
    assert "self._age" in [candidate.text for candidate in renamed(before, after)]


def test_parts_of_names_are_replaced_in_any_case_style() -> None:
    file = "def read_size():\n    log(SIZE)\n    return SizeReader(old_size)\n\n"
    assert "log(AGE)" in texts("def read_age():\n    |\n    return AgeReader(old_age)\n", file)
    assert "AgeReader(old_age)" in texts("def read_age():\n    log(AGE)\n    return |\n\ndef x", file + file)


def test_words_cut_by_the_hole_are_treated_as_whole() -> None:
    assert "f._a" in texts("    @property\n    def age(self):\n        return sel|ge\n\n    @property\n")
    assert texts("    @property\n    def age(self):\n        return oth|er\n\n    @property\n") == []


def test_the_length_of_the_match_is_counted() -> None:
    candidate = next(renamed(SIZE + "    @property\n    def age(self):\n        return ", "\n\n    @property\n"))
    assert candidate.text == "self._age"
    assert candidate.before > candidate.after > 3
    assert candidate.same == candidate.before + candidate.after - 1


def test_in_a_long_file_only_the_nearest_text_is_read() -> None:
    """The start of what is read does not move with the cursor."""
    file = "x = 1\n" * MAX_CODE_POINTS_BEFORE + SIZE
    for typed in ("", "se", "self"):
        assert "self._age"[len(typed) :] in texts(
            f"    @property\n    def age(self):\n        return {typed}|\n\n    @p", file
        )


class CountingPattern:
    """Counts the code points that a pattern is searched in."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self.read = 0

    def findall(self, text: str) -> list[str]:
        self.read += len(text)
        return self._pattern.findall(text)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> CountingPattern:
    """Counts the code points that are split into tokens."""
    pattern = CountingPattern(module._TOKEN)
    monkeypatch.setattr(module, "_TOKEN", pattern)
    module._read.cache_clear()
    return pattern


def test_a_key_in_a_long_line_reads_only_its_end(counting: CountingPattern) -> None:
    line = "d = {" + ", ".join(f"'k{n}': {n}" for n in range(30_000))
    list(renamed(line, "\n"))
    before = counting.read
    for length in range(len(line) - 8, len(line)):
        list(renamed(line[:length], "\n"))
    assert counting.read - before < 8 * 3000


def test_after_a_very_long_line_only_nearby_text_is_read(counting: CountingPattern) -> None:
    line = "d = {" + ", ".join(f"'k{n}': {n}" for n in range(30_000))
    for before in (line, line + "\n", line + "\n    x = "):
        list(renamed(before, "\nprint(d)\n"))
    assert counting.read < 2 * MAX_CODE_POINTS_BEFORE + 10_000


@given(PARTS, st.integers(1, 200))
def test_reading_in_parts_equals_reading_at_once(parts: list[str], times: int) -> None:
    text = "".join(parts) * times
    assert module._read_before(text[:MAX_CODE_POINTS_BEFORE]).tokens == module._TOKEN.findall(
        text[:MAX_CODE_POINTS_BEFORE]
    )


@given(TEXTS, TEXTS)
def test_any_text_is_accepted(before: str, after: str) -> None:
    for candidate in renamed(before, after):
        assert candidate.before >= 3
        assert candidate.after >= 3
        assert candidate.same <= candidate.before + candidate.after
