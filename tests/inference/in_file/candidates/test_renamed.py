"""Copies between sides like the hole's, with the names that belong there."""

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
    """The candidates of the hole at the mark | in `marked`, which stands below `file`."""
    before, after = marked.split("|")
    return [candidate.text for candidate in renamed(file + before, after)]


def test_names_are_those_of_the_sides() -> None:
    assert "self._age" in texts("    @property\n    def age(self):\n        return |\n\n    @property\n")


def test_a_copy_may_stand_behind_the_hole() -> None:
    before, after = "    @property\n    def age(self):\n        return ", "\n\n" + SIZE + "    @property\n"
    assert "self._age" in [candidate.text for candidate in renamed(before, after)]


def test_parts_of_names_are_replaced_however_they_are_written() -> None:
    file = "def read_size():\n    log(SIZE)\n    return SizeReader(old_size)\n\n"
    assert "log(AGE)" in texts("def read_age():\n    |\n    return AgeReader(old_age)\n", file)
    assert "AgeReader(old_age)" in texts("def read_age():\n    log(AGE)\n    return |\n\ndef x", file + file)


def test_words_that_the_hole_cuts_are_taken_whole() -> None:
    assert "f._a" in texts("    @property\n    def age(self):\n        return sel|ge\n\n    @property\n")
    assert texts("    @property\n    def age(self):\n        return oth|er\n\n    @property\n") == []


def test_how_far_sides_are_alike_is_counted() -> None:
    candidate = next(renamed(SIZE + "    @property\n    def age(self):\n        return ", "\n\n    @property\n"))
    assert candidate.text == "self._age"
    assert candidate.before > candidate.after > 3
    assert candidate.same == candidate.before + candidate.after - 1


def test_in_a_long_file_the_nearest_text_counts() -> None:
    """And where what is read begins does not follow the cursor."""
    file = "x = 1\n" * MAX_CODE_POINTS_BEFORE + SIZE
    for typed in ("", "se", "self"):
        assert "self._age"[len(typed) :] in texts(
            f"    @property\n    def age(self):\n        return {typed}|\n\n    @p", file
        )


class CountingPattern:
    """Counts the code points that a pattern is looked for in."""

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


def test_a_key_in_a_long_line_reads_the_end_of_it(counting: CountingPattern) -> None:
    line = "d = {" + ", ".join(f"'k{n}': {n}" for n in range(30_000))
    list(renamed(line, "\n"))
    before = counting.read
    for length in range(len(line) - 8, len(line)):
        list(renamed(line[:length], "\n"))
    assert counting.read - before < 8 * 3000


def test_behind_a_very_long_line_only_what_is_near_is_read(counting: CountingPattern) -> None:
    line = "d = {" + ", ".join(f"'k{n}': {n}" for n in range(30_000))
    for before in (line, line + "\n", line + "\n    x = "):
        list(renamed(before, "\nprint(d)\n"))
    assert counting.read < 2 * MAX_CODE_POINTS_BEFORE + 10_000


@given(PARTS, st.integers(1, 200))
def test_what_is_read_in_parts_is_what_is_read_at_once(parts: list[str], times: int) -> None:
    text = "".join(parts) * times
    assert module._read_before(text[:MAX_CODE_POINTS_BEFORE]).tokens == module._TOKEN.findall(
        text[:MAX_CODE_POINTS_BEFORE]
    )


@given(TEXTS, TEXTS)
def test_any_text_is_read(before: str, after: str) -> None:
    for candidate in renamed(before, after):
        assert candidate.before >= 3
        assert candidate.after >= 3
        assert candidate.same <= candidate.before + candidate.after
