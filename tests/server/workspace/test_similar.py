"""Code like that before the cursor: what is found, what is not, and what does not depend on the line being typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lacuna_server.core.admission import Rules, may_be_read
from lacuna_server.workspace import Place, WorkspaceIndex, similar
from lacuna_server.workspace.index import Limits
from lacuna_server.workspace.passages import LINES, Passages, names

ROOT = Path("/work").resolve()
USE = "def show(screen):\n    widget = make_widget(screen)\n    with widget.painting() as painter:\n        painter()\n"
OTHER = "tokens = tokenize(source)\ntree = Tree(tokens, source)\n"
BEFORE = "def redraw(screen):\n    widget = make_widget(screen)\n"


def index_of(files: dict[str, str], limits: Limits | None = None) -> WorkspaceIndex:
    index = WorkspaceIndex([ROOT], limits=limits or Limits())
    for name, text in files.items():
        index.update((ROOT / name).as_posix(), text)
    return index


def shown(index: WorkspaceIndex, before: str, path: str = "new.py", budget: int = 1000) -> list[tuple[str, str]]:
    place = Place((ROOT / path).as_posix(), "", before, len(before))
    return [(one.path, one.text) for one in similar(place, index, budget, [ROOT])]


def test_the_most_alike_is_last_and_the_own_file_and_other_languages_are_left_out() -> None:
    files = {"a.py": USE, "b.py": OTHER + "screen = 1\n", "new.py": USE, "c.js": "function f() {\n" + USE + "}\n"}
    assert shown(index_of(files), BEFORE) == [("b.py", files["b.py"]), ("a.py", USE)]


def test_an_import_that_nothing_uses_yet_is_looked_for() -> None:
    index = index_of({"a.py": USE, "b.py": OTHER})
    before = "from parsing import tokenize, Tree\nfrom widgets import make_widget\n" + "\n" * 20 + BEFORE
    assert {path for path, _ in shown(index, before)} == {"a.py", "b.py"}
    used = before + "\n" * 20 + "Tree(tokenize(''))\n" + "\n" * 20 + BEFORE
    assert [path for path, _ in shown(index, used)] == ["a.py"]


def test_a_key_in_the_line_changes_nothing() -> None:
    index = index_of({"a.py": USE, "b.py": OTHER})
    assert shown(index, BEFORE + "    tokens = tokenize(sou") == shown(index, BEFORE) != []


@given(st.integers(0, 400))
@settings(max_examples=40, deadline=None)
def test_the_budget_is_kept(budget: int) -> None:
    index = index_of({"a.py": USE, "b.py": OTHER + "screen = 1\n"})
    found = shown(index, BEFORE, budget=budget)
    assert sum(len(path) + len(text) for path, text in found) <= budget
    assert all(text.endswith("\n") for _, text in found)


def test_what_was_removed_or_excluded_is_not_found() -> None:
    index = index_of({"a.py": USE})
    index.update((ROOT / "a.py").as_posix(), OTHER)
    assert shown(index, BEFORE) == []
    index.remove((ROOT / "a.py").as_posix())
    assert shown(index, OTHER) == []
    excluded: list[str] = []
    index = WorkspaceIndex([ROOT], may_be_read=lambda path: may_be_read(path, Rules(exclude=tuple(excluded))))
    index.update((ROOT / "a.py").as_posix(), USE)
    assert shown(index, BEFORE) == [("a.py", USE)]
    excluded.append("**/a.py")
    assert shown(index, BEFORE) == []


def test_source_text_beyond_the_limit_is_left_out() -> None:
    index = index_of({"a.py": OTHER, "b.py": USE}, Limits(source_bytes=len(OTHER) + 10))
    assert index.stats().is_full
    assert index.lookup("show") != []
    assert shown(index, BEFORE) == []


@pytest.mark.parametrize("text", ["", "\n", "\r\n\r\n", "é\n" * 40, "\ud800", "x = 1"])
def test_any_text_can_be_before_the_cursor(text: str) -> None:
    index = index_of({"a.py": USE, "b.py": text or "x"})
    shown(index, text)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_passages_are_what_the_last_texts_have(edits: list[tuple[str, int]]) -> None:
    """Whatever is put and removed: what is found is in the texts that are there now, at its line."""
    passages, texts = Passages(10**6), dict[str, str]()
    for path, count in edits:
        passages.remove(path)
        texts.pop(path, None)
        if count:
            texts[path] = "".join(f"{path}{path}{path} name{line} other{line} third{line} é\n" for line in range(count))
            passages.put(path, texts[path])
    for path, text in texts.items():
        found = passages.like(dict.fromkeys(names(text), 1.0), lambda _: True, 50)
        assert {one.path for one in found} >= {path}
        for one in found:
            lines = texts[one.path].splitlines(keepends=True)[one.line : one.line + LINES]
            assert one.text == "".join(lines)
