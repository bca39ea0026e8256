"""Where a hole begins while the user types."""

from __future__ import annotations

import pytest

from lacuna_inference.decoding.anchors import MAX_TYPED_CODE_POINTS, Anchor, Anchors
from lacuna_inference.decoding.per_document import MAX_DOCUMENTS

KEY = "document"


def test_the_anchor_is_the_start_of_the_line() -> None:
    assert Anchors().of(KEY, "a\n  b", "c") == Anchor("a\n", "c")
    assert Anchors().of(None, "b", "c") == Anchor("", "c")


def test_a_moved_anchor_holds_while_text_is_typed_after_it() -> None:
    anchors = Anchors()
    anchors.move(KEY, "a\nreturn", "c")
    assert anchors.of(KEY, "a\nreturn x", "c") == Anchor("a\nreturn", "c")
    assert anchors.of("another", "a\nreturn x", "c") == Anchor("a\n", "c")


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [
        ("a\nretur", "c"),  # deleted past it
        ("a\nreturn x\n", "c"),  # another line
        ("b\nreturn x", "c"),  # an edit elsewhere
        ("a\nreturn x", "d"),
        ("a\nreturn " + "x" * MAX_TYPED_CODE_POINTS, "c"),
    ],
)
def test_anything_else_sets_a_new_anchor(prefix: str, suffix: str) -> None:
    anchors = Anchors()
    anchors.move(KEY, "a\nreturn", "c")
    assert anchors.of(KEY, prefix, suffix) == Anchor(prefix[: prefix.rfind("\n") + 1], suffix)


def test_closing_brackets_added_by_the_editor_are_excluded_until_the_line_is_left() -> None:
    anchors = Anchors()
    anchors.of(KEY, "a\nfoo", "\nb")
    for prefix, suffix in (
        ("a\nfoo(", ")\nb"),
        ("a\nfoo([", "])\nb"),
        ("a\nfoo(['", "'])\nb"),
        ("a\nfoo([''", "])\nb"),
    ):
        assert anchors.of(KEY, prefix, suffix) == Anchor("a\n", "\nb")
    assert anchors.of(KEY, "a\nfoo()\n", ")\nb").suffix == ")\nb"
    assert anchors.of(KEY, "a\nfoo()\nx", "x)\nb").suffix == "x)\nb"


def test_only_the_latest_documents_are_remembered() -> None:
    anchors = Anchors()
    anchors.move("first", "a\nb", "")
    for number in range(MAX_DOCUMENTS):
        anchors.of(str(number), "", "")
    assert anchors.of("first", "a\nbc", "") == Anchor("a\n", "")
