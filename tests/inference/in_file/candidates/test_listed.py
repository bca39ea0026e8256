"""Listed fill candidates: the rest of other lines that begin like the line of the hole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.in_file.candidates.candidate import FillCandidate
from lacuna_inference.in_file.candidates.listed import listed

FILE = "def one(self):\n    self.begin()\n    return self\n\ndef two(self):\n    return None\n\n"
LINES = st.lists(st.sampled_from(["a", "  a b", "  ", "", "\ta", "  a (漢"]), max_size=8).map("\n".join)


def candidates_of(marked: str) -> list[FillCandidate]:
    """The candidates for the hole at the mark |."""
    before, after = marked.split("|")
    return listed(before, after)


def texts(marked: str) -> list[str]:
    return [candidate.text for candidate in candidates_of(marked)]


def test_lines_with_the_same_indentation_are_candidates() -> None:
    assert set(texts(FILE + "def three(self):\n    |\n")) == {"self.begin()", "return self", "return None"}
    assert set(texts("def zero(self):\n    |\n\n" + FILE)) == {"self.begin()", "return self", "return None"}
    assert set(texts(FILE + "|\n")) == {"def one(self):", "def two(self):"}


def test_candidates_begin_with_the_typed_part_of_the_line() -> None:
    assert set(texts(FILE + "def three(self):\n    return |\n")) == {"self", "None"}
    assert set(texts(FILE + "def three(self):\n    ret|")) == {"urn self", "urn None"}
    assert texts(FILE + "def three(self):\n    raise |\n") == []


def test_the_hole_must_end_with_its_line() -> None:
    assert texts(FILE + "def three(self):\n    return |)\n") == []
    assert set(texts(FILE + "def three(self):\n    return |  \n")) == {"self", "None"}


def test_matching_lines_around_are_counted_but_not_the_line_itself() -> None:
    (candidate,) = candidates_of("a = 1\nb = 2\nc = 3\nx = 0\na = 1\nb |\nc = 3\n")
    assert candidate.text == "= 2"
    assert candidate.before == len("\na = 1\n") - 1
    assert candidate.after == len("\nc = 3\n")
    assert candidate.above
    assert candidate.away == len("= 2\nc = 3\nx = 0\na = 1\n")


def test_the_line_with_the_longest_match_comes_first() -> None:
    assert texts("if x:\n    go()\nif y:\n    stop()\nif x:\n    |\nif y:\n")[0] == "go()"


@given(LINES, LINES)
def test_any_text_is_accepted(before: str, after: str) -> None:
    line = before[before.rfind("\n") + 1 :]
    for candidate in listed(before, after):
        assert candidate.text.strip()
        assert "\n" not in candidate.text
        assert line + candidate.text in before + "\n" + after
        assert candidate.before >= 0
        assert candidate.after >= 0
