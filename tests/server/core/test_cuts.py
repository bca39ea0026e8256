"""Where suggestions may be cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacuna_server.core.cuts import Part, cuts

WORD, CALL, LINE, LINES = Part.WORD, Part.CALL, Part.LINE, Part.LINES


@pytest.mark.parametrize(
    ("text", "beginnings"),
    [
        ("value = 1", {"value": WORD, "value = 1": LINE}),
        (" get(url).json()", {" get": WORD, " get(url)": CALL, " get(url).json()": LINE}),
        ("x, y)[0]", {"x, y)": CALL, "x, y)[0]": LINE}),
        ("join(')', ')') + end", {"join": WORD, "join(')', ')')": CALL, "join(')', ')') + end": LINE}),
        ("f(a, (b)) + 1", {"f(a, (b))": CALL, "f(a, (b)) + 1": LINE}),
        ("-> None:", {"->": WORD, "-> None:": LINE}),
        ("done", {"done": LINE}),
        (")", {")": LINE}),
        ("for x in y:\n    pass", {"for": WORD, "for x in y:": LINE, "for x in y:\n    pass": LINES}),
        ("a(\n    b,\n)", {"a(": LINE, "a(\n    b,": LINES, "a(\n    b,\n)": LINES}),
        ("\n    return 1", {"\n    return": WORD, "\n    return 1": LINE}),
        ("one = 1  \n\n", {"one": WORD, "one = 1": LINE}),
        ("don't stop", {"don": WORD, "don't stop": LINE}),
        ("  \n ", {}),
        ("", {}),
    ],
)
def test_a_suggestion_is_cut_after_words_calls_and_lines(text: str, beginnings: dict[str, Part]) -> None:
    assert {text[: cut.end]: cut.part for cut in cuts(text)} == beginnings


@given(st.text(alphabet="ab1 ()[]\"'\n\t.=#"))
def test_cuts_grow_up_to_the_last_character(text: str) -> None:
    ends = [cut.end for cut in cuts(text)]
    assert ends == sorted(set(ends))
    assert (ends[-1] if ends else 0) == len(text.rstrip())
    assert all(not text[end - 1].isspace() for end in ends)
