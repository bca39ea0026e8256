"""Where a hole begins while the user types."""

from __future__ import annotations

import pytest

from lacuna_inference.decoding.anchors import MAX_TYPED_CODE_POINTS, Anchor, Anchors
from lacuna_inference.decoding.per_document import MAX_DOCUMENTS
from lacuna_inference.prompt.families import by_name
from lacuna_inference.prompt.planner import hole_start

KEY = "document"


def of(anchors: Anchors, key: str | None, prefix: str, suffix: str) -> Anchor:
    return anchors.of(key, prefix, suffix, hole_start(prefix, by_name("incoder")))


def test_the_anchor_is_the_start_of_the_line_or_the_end_of_its_indentation() -> None:
    assert of(Anchors(), KEY, "a\n  b", "c") == Anchor("a\n", "c")
    assert of(Anchors(), None, "b", "c") == Anchor("", "c")
    starcoder = by_name("starcoder")
    assert [hole_start(prefix, starcoder) for prefix in ("a\n  b", "a\n \t", "a \n", "  b ")] == [4, 4, 3, 2]


def test_an_anchor_behind_blanks_holds_while_the_line_grows_and_until_they_are_deleted() -> None:
    anchors = Anchors()
    first = anchors.of(KEY, "a\n    ", "c", 6)
    assert anchors.of(KEY, "a\n    x", "c", 6) == anchors.of(KEY, "a\n     x", "c", 7) == first
    assert anchors.of(KEY, "a\n  ", "c", 4) == Anchor("a\n  ", "c")


def test_a_moved_anchor_holds_while_text_is_typed_after_it() -> None:
    anchors = Anchors()
    anchors.move(KEY, "a\nreturn", "c")
    assert of(anchors, KEY, "a\nreturn x", "c") == Anchor("a\nreturn", "c")
    assert of(anchors, "another", "a\nreturn x", "c") == Anchor("a\n", "c")


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
    assert of(anchors, KEY, prefix, suffix) == Anchor(prefix[: prefix.rfind("\n") + 1], suffix)


def test_closing_brackets_added_by_the_editor_are_excluded_until_the_line_is_left() -> None:
    anchors = Anchors()
    of(anchors, KEY, "a\nfoo", "\nb")
    for prefix, suffix in (
        ("a\nfoo(", ")\nb"),
        ("a\nfoo([", "])\nb"),
        ("a\nfoo(['", "'])\nb"),
        ("a\nfoo([''", "])\nb"),
    ):
        assert of(anchors, KEY, prefix, suffix) == Anchor("a\n", "\nb")
    assert of(anchors, KEY, "a\nfoo()\n", ")\nb").suffix == ")\nb"
    assert of(anchors, KEY, "a\nfoo()\nx", "x)\nb").suffix == "x)\nb"


def test_only_the_latest_documents_are_remembered() -> None:
    anchors = Anchors()
    anchors.move("first", "a\nb", "")
    for number in range(MAX_DOCUMENTS):
        of(anchors, str(number), "", "")
    assert of(anchors, "first", "a\nbc", "") == Anchor("a\n", "")
