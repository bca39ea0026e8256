"""What of an answer can be read where it stands: syntax errors, indentation and pairs, in several languages."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers import MARK, at_cursor
from hypothesis import given, settings
from hypothesis import strategies as st

from lacuna_inference.api import Candidate, CompletionResult, Fill, RequestMetrics, StopReason
from lacuna_server.core.nonsense import readable
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.service import answer_from
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.core.trimming import trim
from lacuna_server.syntax import judge
from lacuna_server.syntax.grammars import GRAMMARS


@pytest.fixture(autouse=True)
def _no_limit_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "_MOST_S", 60.0)


BELOW = "\n\n\ndef g():\n    return 2\n"


@pytest.mark.parametrize(
    ("marked", "answer", "shown"),
    [
        ("def f(a):\n    |" + BELOW, "b = a\n    return b b", "b = a"),
        ("def f(a):\n    |" + BELOW, "return a a", Withheld.NONSENSE),
        ("def f(a):\n    |" + BELOW, "for b in a\n        g(b)", "for b in a"),
        ("x = f(|" + BELOW, "a b c)", Withheld.NONSENSE),
        ("x = |" + BELOW, "f(a))", "f(a)"),
        ("x = f(\n    a,\n    |\n)\n", "b)", "b"),
        ("def f(a):\n    x = 1\n    |\n    return x\n", "if a:\n        x = 2\n  y = 3", "if a:\n        x = 2"),
        ("def f(a):\n    |\n    return x\n", "x = 1\n        y = 2", "x = 1"),
        ("def f(a):\n    try:\n        |\n    except E:\n        pass\n", "g(\n    def h():", "g("),
    ],
)
def test_an_answer_is_cut_where_it_breaks_the_file(marked: str, answer: str, shown: str | Withheld) -> None:
    assert readable(answer, at_cursor(marked)) == shown


@pytest.mark.parametrize(
    ("marked", "answer"),
    [
        ("x = foo(|" + BELOW, "a, b)"),
        ("x = foo(|" + BELOW, "a,"),
        ("x = foo(|)" + BELOW, "a, b"),
        ("def f():\n    |" + BELOW, "if x:"),
        ("def f():\n    |" + BELOW, "try:\n        g()"),
        ("def f():\n    |" + BELOW, "@cache"),
        ("def f():\n    |" + BELOW, '"""It doesn\'t (yet'),
        ("def f():\n    |" + BELOW, "x = 1 + \\"),
        ("def f():\n    |" + BELOW, "if (a and\n            b and"),
        ("def f():\n    if x|" + BELOW, " > 3"),
        ("def f():\n    if x:|" + BELOW, "\n        return 1"),
        ("def f(a b):\n    pass\n\n\nx = |" + BELOW, "g()"),
        ("x = f(\n    |" + BELOW, "a,\n    b"),
        ('def f():\n    """About\n\n    |\n    """\n', "a b c)"),
        ("x = ) ( |" + BELOW, "a b"),
        ("# about |" + BELOW, "a) b (c"),
    ],
)
def test_what_may_go_on_is_left_alone(marked: str, answer: str) -> None:
    assert readable(answer, at_cursor(marked)) == answer


@pytest.mark.parametrize(
    ("marked", "answer", "shown"),
    [
        ("def f():\n    |\n", "    return 1", "return 1"),
        ("def f():\n    x = 1\n    |\n    return x\n", "    y = 2", "y = 2"),
        ("def f():\n    |\n", "    x = 1\n        return x", "x = 1\n    return x"),
        ("def f():\n    |\n", "    x = 1\n    return x", "x = 1\n    return x"),
        ("def f():\n  if x:\n    |\n", "    return 1", "return 1"),
        ("if x:\n    if y:\n        z()\n |\n", "   z()", "   z()"),
        ("def f():\n|\n", "    return 1", "    return 1"),
        ("x = f(\n    |\n)\n", "    a", "    a"),
    ],
)
def test_an_indentation_that_was_typed_is_not_repeated(marked: str, answer: str, shown: str) -> None:
    assert readable(answer, at_cursor(marked)) == shown


@pytest.mark.parametrize(
    ("language", "marked", "answer", "shown"),
    [
        ("javascript", "function f(a) {\n  |\n}\n", "return a a;", Withheld.NONSENSE),
        ("javascript", "function f(a) {\n  |\n}\n", "b(a);\n  return );", "b(a);\n  return"),
        ("javascript", "function f(a) {\n  |\n}\n", "if (a) {", "if (a) {"),
        ("javascript", "function f(a) {\n  |\n}\n", "  return a;", "return a;"),
        ("typescript", "function f(a: string) {\n  |\n}\n", "const b: = a;", Withheld.NONSENSE),
        ("go", "package p\n\nfunc f(a int) int {\n\t|\n}\n", "b := a\n\treturn b b", "b := a"),
        ("rust", "fn f(a: i32) -> i32 {\n    |\n}\n", "let b = a;\n    b b", "let b = a;"),
        ("java", "class A {\n  int f(int a) {\n    |\n  }\n}\n", "return a a;", Withheld.NONSENSE),
        ("c", "int f(int a) {\n    |\n}\n", "int b = a;\n    return b b;", "int b = a;"),
        ("ruby", "def f(a)\n  |\nend\n", "b = a\n  b = = 1", "b = a"),
        ("brainfog", "f {\n  |\n}\n", ") ) (", ") ) ("),
    ],
)
def test_other_languages(language: str, marked: str, answer: str, shown: str | Withheld) -> None:
    assert readable(answer, replace(at_cursor(marked), language=language, uri_path="")) == shown


@pytest.mark.parametrize("closer", [")", "])", '")', "'", "`)", "})"])
def test_closed_pairs_are_never_doubled(closer: str) -> None:
    opener = "".join({")": "(", "]": "[", "}": "{"}.get(character, character) for character in reversed(closer))
    for language in ("python", "javascript", "go"):
        marked = f"x = f{opener}{MARK}{closer}\n"
        snapshot = replace(at_cursor(marked), language=language, uri_path="")
        for inside in ("", "a", "a, b" if closer[0] in ")]" else "b"):
            for end in range(1, len(closer) + 1):
                assert trim(inside + closer[:end], snapshot) == (inside or Withheld.REPEATS)


def test_an_answer_that_was_cut_says_so() -> None:
    snapshot = at_cursor("def f(a):\n    |" + BELOW)
    fill = Fill("b = a\n    return b b", StopReason.DEDENT, 9, 0.0)
    result = CompletionResult((Candidate((fill,)),), RequestMetrics(), "m")
    shown = answer_from(result, snapshot)
    assert (shown.texts, shown.cut) == (("b = a",), True)
    broken = CompletionResult((Candidate((replace(fill, text="return b b"),)),), RequestMetrics(), "m")
    assert answer_from(broken, snapshot).withheld is Withheld.NONSENSE


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("b = a\n    c = g(b, b.", "b = a"),
        ("b = a\n    if b:", "b = a"),
        ("b = a\n    return b", "b = a\n    return b"),
        ("b = g(a, a.", "b = g(a, a."),
        ("g(\n        a,\n        b.", "g(\n        a,\n        b."),
    ],
)
def test_of_lines_that_a_limit_stopped_whole_statements_are_shown(answer: str, shown: str) -> None:
    assert readable(answer, at_cursor("def f(a):\n    |" + BELOW), stopped=True) == shown


def test_a_long_text_is_read_near_the_cursor_only() -> None:
    above = "".join(f"def f{number}(a):\n    return a\n\n\n" for number in range(20_000))
    snapshot = at_cursor(above + "def f(a):\n    |" + BELOW + above)
    assert readable("b = a\n    return b b", snapshot) == "b = a"


def test_a_tree_is_kept_while_a_document_changes() -> None:
    text = "def f(a):\n    "
    for typed in ("b", "b + é", "b + é\n    c", "b"):
        snapshot = replace(at_cursor(text + typed + "|" + BELOW), document_id="kept")
        assert readable(" + a", snapshot) == " + a"
    assert readable(" a a", snapshot) is Withheld.NONSENSE


@settings(max_examples=150, deadline=None)
@given(
    st.text(st.sampled_from("ab \n\t()[]{}'\"`\\#:;=.,/*@éif\r\ud800"), max_size=40),
    st.text(st.sampled_from("ab \n\t()[]{}'\"`\\#:;=.,/*@é\r\ud800"), max_size=30),
    st.text(st.sampled_from("ab \n\t()[]{}'\"`\\#:;=.,/*@é\r"), max_size=30),
    st.sampled_from([grammar.name for grammar in GRAMMARS]),
)
def test_any_text_gives_a_beginning_or_a_reason(before: str, answer: str, after: str, language: str) -> None:
    snapshot = Snapshot(before + after, len(before), None, document_id="any", language=language)
    shown = readable(answer, snapshot)
    letters = answer.replace(" ", "").replace("\t", "")
    assert shown is Withheld.NONSENSE or letters.startswith(shown.replace(" ", "").replace("\t", ""))
