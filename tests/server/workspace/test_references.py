"""What holds for every language: broken text, text behind the cursor, the budget, and modules' names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_workspace_languages import CASES, CURSOR, Case

from lacuna_server.syntax.grammars import grammar_for
from lacuna_server.workspace import (
    Definition,
    Kind,
    Place,
    RelatedDefinition,
    Why,
    WorkspaceIndex,
    as_comment,
    excerpts,
    related,
)
from lacuna_server.workspace.definitions import MOST_CHARACTERS, definitions
from lacuna_server.workspace.imports import target

ROOT = Path("/work").resolve()
REAL = (Path(__file__).parents[3] / "server/lacuna_server/core/admission.py").read_text(encoding="utf-8")


def index_of(files: dict[str, str]) -> WorkspaceIndex:
    index = WorkspaceIndex([ROOT])
    for name, text in files.items():
        assert index.update((ROOT / name).as_posix(), text), name
    return index


def names(index: WorkspaceIndex, path: str, before: str, after: str = "") -> list[str]:
    place = Place((ROOT / path).as_posix(), "", before + after, len(before))
    return [one.definition.name for one in related(place, index)]


@given(st.sampled_from(CASES), st.data())
@settings(max_examples=60, deadline=None)
def test_broken_text_is_read(case: Case, data: st.DataObject) -> None:
    """Of any cut of a file, with anything in it, something can be read, and no signature is too long."""
    text = case.defining + case.using.replace(CURSOR, "")
    start, end = sorted((data.draw(st.integers(0, len(text))), data.draw(st.integers(0, len(text)))))
    broken = text[:start] + data.draw(st.text(max_size=8)) + text[end:]
    grammar = grammar_for(case.path)
    assert grammar is not None
    for one in definitions(broken, case.path, grammar):
        assert one.name
        assert len(one.signature) < MOST_CHARACTERS + 20
        assert 1 <= one.line <= len(broken.split("\n"))
    index = index_of({case.path: case.defining})
    excerpts(related(Place(f"{ROOT.as_posix()}/{case.using_path}", "", broken, min(start, len(broken))), index), 500)


@given(st.integers(0, len(REAL)))
@settings(max_examples=40, deadline=None)
def test_cuts_of_a_real_file(offset: int) -> None:
    grammar = grammar_for("x.py")
    assert grammar is not None
    assert definitions(REAL[:offset], "x.py", grammar) is not None
    assert related(Place("/x.py", "python", REAL, offset), WorkspaceIndex([])) == ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_what_follows_the_cursor_changes_nothing(case: Case) -> None:
    index = index_of({case.path: case.defining})
    before = case.using.partition(CURSOR)[0]
    place = (ROOT / case.using_path).as_posix()
    alone = related(Place(place, "", before, len(before)), index)
    assert alone == related(Place(place, "", before + "x)\n}\n'\"", len(before)), index)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_a_key_reorders_nothing(case: Case) -> None:
    """While a line is typed, excerpts come and stay: those known before keep their order."""
    index = index_of({case.path: case.defining})
    path = (ROOT / case.using_path).as_posix()
    before = case.using.partition(CURSOR)[0]
    line = before.rpartition("\n")[0] + "\n"
    shown: list[str] = []
    for end in range(len(line), len(before) + 1):
        now = [one.text for one in excerpts(related(Place(path, "", before[:end], end), index), 10_000)]
        lines = [text for text in "".join(now).splitlines() if len(text) > len("end")]  # brackets may repeat
        assert [text for text in lines if text in shown] == [text for text in shown if text in lines]
        shown = lines


def test_a_word_that_is_being_typed_means_nothing() -> None:
    index = index_of({"lib.py": "def load(): pass\ndef loads(): pass\n"})
    begin = "from lib import *\n"
    assert names(index, "x.py", begin + "load") == []
    assert names(index, "x.py", begin + "load(") == ["load"]
    assert names(index, "x.py", begin + "loads", "(1)") == []


def test_the_document_itself_is_never_shown() -> None:
    index = index_of({"a/lib.py": "def load(): pass\n", "b/lib.py": "def load(x): pass\n"})
    found = related(Place(f"{ROOT.as_posix()}/a/lib.py", "", "from lib import load\n", 21), index)
    assert [one.definition.path for one in found] == [f"{ROOT.as_posix()}/b/lib.py"]


def test_what_the_document_defines_itself_is_not_looked_for() -> None:
    index = index_of({"a.go": "package a\nfunc Load() {}\nfunc Store() {}\n"})
    assert names(index, "b.go", "package a\nfunc Load() {}\nfunc run() {\n\tLoad()\n\tStore()\n") == ["Store"]


def test_other_languages_and_other_modules_do_not_count() -> None:
    index = index_of({"lib.py": "def load(): pass\n", "lib.js": "export function load() {}\n"})
    assert names(index, "x.js", 'import { load } from "./lib";\nload(') == ["load"]
    assert names(index, "x.js", 'import { load } from "other";\nload(') == []
    assert names(index, "x.py", "from json import load\nload(") == []
    assert names(index, "x.txt", "load(") == []


def test_a_package_exports_what_its_modules_define() -> None:
    index = index_of({"shop/api/__init__.py": "from .order import Order\n", "shop/api/order.py": "class Order: pass\n"})
    assert names(index, "main.py", "from shop.api import Order\n") == ["Order"]
    assert names(index, "main.py", "import shop.api\nshop.api.Order(") == ["Order"]
    assert names(index, "main.py", "import shop.api as api\nx = api.Order(") == ["Order"]


@pytest.mark.parametrize(
    ("module", "importing", "path", "fit"),
    [
        ("a.b", "/r/x.py", "/r/a/b.py", 2),
        ("a.b", "/r/x.py", "/r/src/a/b/__init__.py", 2),
        ("a.b", "/r/x.py", "/r/a/b/c.py", 1),
        ("a.b", "/r/x.py", "/r/b.py", 0),
        (".b", "/r/a/x.py", "/r/a/b.py", 2),
        ("..b", "/r/a/c/x.py", "/r/a/b.py", 2),
        (".b", "/r/a/x.py", "/r/b.py", 0),
        ("./b", "/r/a/x.ts", "/r/a/b/index.ts", 2),
        ("../b.js", "/r/a/x.ts", "/r/b.ts", 2),
        ("@/lib/b", "/r/a/x.ts", "/r/src/lib/b.ts", 2),
        ("example.com/m/pkg/b", "/r/main.go", "/r/pkg/b/any.go", 2),
        ("net/http", "/r/main.go", "/r/internal/http/any.go", 0),
        ("crate::a::b", "/r/src/main.rs", "/r/src/a/b.rs", 2),
        ("other_crate::b", "/r/src/main.rs", "/r/other-crate/src/b.rs", 2),
        ("com.shop", "/r/X.java", "/r/src/com/shop/Order.java", 1),
        ("dir/order.h", "/r/x.c", "/r/include/dir/order.c", 2),
        ("Shop\\Models", "/r/x.php", "/r/src/Models/Order.php", 2),
    ],
)
def test_modules_and_files(module: str, importing: str, path: str, fit: int) -> None:
    grammar = grammar_for(importing)
    assert grammar is not None
    assert target(module, importing, grammar).fit(path) == fit


def one(name: str, path: str, line: int, parent: str = "", kind: Kind = Kind.FUNCTION) -> RelatedDefinition:
    return RelatedDefinition(Definition(name, kind, f"/r/{path}", line, f"def {name}(): ...", parent), Why.IMPORTED)


def test_excerpts_are_in_the_order_of_files_and_the_best_within_the_budget() -> None:
    found = [one("third", "b.py", 3), one("first", "a.py", 9), one("second", "b.py", 1)]
    all_of_it = excerpts(found, 1000, [Path("/r")])
    assert [(excerpt.path, excerpt.text) for excerpt in all_of_it] == [
        ("a.py", "def first(): ...\n"),
        ("b.py", "def second(): ...\ndef third(): ...\n"),
    ]
    assert [excerpt.path for excerpt in excerpts(found, 25, [Path("/r")])] == ["b.py"]
    assert excerpts(found, 10) == ()


def test_methods_are_shown_in_their_type_and_once() -> None:
    method, whole = one("pay", "a.py", 2, "Order", Kind.METHOD), one("Order", "a.py", 1, kind=Kind.CLASS)
    (alone,) = excerpts([method], 1000)
    assert alone.text == "class Order:\n    def pay(): ...\n"
    (together,) = excerpts([method, whole], 1000)
    assert together.text == "def Order(): ...\n"


def test_comments() -> None:
    (excerpt,) = excerpts([one("f", "a.py", 1)], 1000, [Path("/r")])
    assert as_comment(excerpt, "python") == "# a.py:\n# def f(): ...\n"
    assert as_comment(excerpt, "go") == "// a.py:\n// def f(): ...\n"
