"""The typist: what he accepts, and that he always writes what he has in mind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacuna_lab.replay.typist import Key, Kind, Typist, acceptable, is_right, keys_to_type, typed

CODE = "return total(items)\n    next_line = 1\n"


@pytest.mark.parametrize(
    ("shown", "reference", "key"),
    [
        ("return total(items)", CODE, Key("return total(items)", Kind.LINE)),
        ("return total(items)  \n", CODE, Key("return total(items)", Kind.LINE)),
        ("return total(items)\n    next_line", CODE, Key("return total(items)\n    next_line", Kind.BLOCK)),
        ("return total(items)\n    other = 2", CODE, Key("return total(items)", Kind.LINE)),
        ("return total(", CODE, Key("return total(", Kind.LINE)),
        ("return sum(items)", CODE, Key("return", Kind.WORD)),
        ("return", CODE, Key("return", Kind.WORD)),
        ("\n    next_line = 1", "\n    next_line = 1", Key("\n    next_line = 1", Kind.LINE)),
        ("\n\n    next_line = 2", "\n\n    next_line = 1", Key("\n\n    next_line", Kind.WORD)),
        ("retur", CODE, None),
        ("return_value = 1", CODE, None),
        ("ret", "return", None),
        ("(", "(a)", None),
        ("():", "()", None),
        ("", CODE, None),
        ("  \n", "  \n", None),
    ],
)
def test_the_most_that_is_right_is_accepted(shown: str, reference: str, key: Key | None) -> None:
    assert acceptable(shown, reference) == key


@pytest.mark.parametrize(
    ("shown", "reference", "right"),
    [
        ("return total(items)\nwrong", CODE, True),
        ("return total", CODE, True),
        ("return tot", CODE, False),
        (" + 1", "\n    next_line", False),
        ("x", "", False),
    ],
)
def test_a_display_is_right_if_its_first_line_is(shown: str, reference: str, right: bool) -> None:
    assert is_right(shown, reference) is right


def test_enter_writes_the_indentation() -> None:
    assert typed("\n    x") == Key("\n    ")
    assert typed("\n\n    x") == Key("\n")
    assert keys_to_type("a\n\n    b") == 4


def test_a_suggestion_stays_while_it_is_typed_and_goes_at_the_first_difference() -> None:
    typist = Typist("abcd")
    assert typist.see("abx")
    assert not typist.see("other")  # the editor keeps what it shows
    typist.press(Key("a"))
    assert (typist.shown, typist.remaining) == ("bx", "bcd")
    typist.press(Key("b"))
    typist.press(Key("c"))
    assert typist.shown == ""
    assert not typist.see(" \n")  # nothing can be seen of it


@pytest.mark.parametrize(("written", "starts"), [("", True), ("a", False), ("a\n", True), ("a\n    ", True)])
def test_a_line_starts_after_its_indentation(written: str, starts: bool) -> None:
    typist = Typist("a\n    b")
    typist.press(Key(written)) if written else None
    assert typist.at_line_start is starts


PIECES = st.text("ab_ (\n\t1é\u2028", max_size=12)


@given(PIECES, st.lists(PIECES))
def test_whatever_is_shown_the_text_becomes_what_was_meant(target: str, suggestions: list[str]) -> None:
    typist, written, pressed = Typist(target), "", 0
    while typist.remaining:
        typist.see(suggestions[pressed % len(suggestions)] if suggestions else "")
        key = typist.next_key()
        assert key.characters >= (2 if key.accepted else 1)
        typist.press(key)
        written += key.text
        pressed += 1
    assert written == target


@given(PIECES.filter(str.strip))
def test_the_truth_is_right_and_accepted_whole(reference: str) -> None:
    assert is_right(reference, reference)
    key = acceptable(reference, reference)
    assert key is None or key.text == reference.rstrip()
