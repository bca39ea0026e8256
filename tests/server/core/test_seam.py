"""Where an answer meets the rest of its line: no bracket or quote is duplicated."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers import at_cursor
from pygments.lexers import get_all_lexers
from seams import sweep

from lacuna_server.core import lexing
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.core.trimming import trim


@pytest.mark.parametrize(
    ("marked", "answer", "shown"),
    [
        ("if __name__ == '|'\n", "__main__':", "__main__"),
        ("print('one')\nprint('|')\n", "it works')", "it works"),
        ('print("|")', "it's fine\")", "it's fine"),
        ('x = d["|"]', 'key"][0]', "key"),
        ("log('|')", "a', b)", "a"),
        ("log('|')", "a', 'b')", "a', 'b"),
        ('raise TypeError("|")', 'bad value: %r" % value)', "bad value: %r"),
        ('x = f"{a|}"', "['b']}\"", "['b']"),
        ("x = '\\|'", "n'", "n"),
        ('"""|"""', 'The "best" one."""', 'The "best" one.'),
        ('def f():\n    """Says \'|\'."""\n', 'don\'t\' or so."""', "don't"),
        ("# the user's '|'", "name' of it", "name"),
        ("x = 1  # the user's (|)", "first) name", "first"),
        ("f(|)", "a) + g(b)", "a) + g(b"),
        ("f(|)", 'r")", b)', 'r")", b'),
    ],
)
def test_what_is_kept_before_closing_brackets_and_quotes(marked: str, answer: str, shown: str) -> None:
    assert trim(answer, at_cursor(marked)) == shown


@pytest.mark.parametrize(
    ("language", "marked", "answer", "shown"),
    [
        ("javascript", "const s = '|'", "it\\'s' + t;", "it\\'s"),
        ("javascript", "const s = `|`", "${a}` + 'b'", "${a}"),
        ("rust", "fn f<'a>(x: &'a str, y: char) -> bool { x == \"|\" }", 'a" }', "a"),
        ("go", 'fmt.Println("|")', "%d'th\", n)", "%d'th"),
        ("brainfog", "say '|'", "hello' twice", "hello"),
    ],
)
def test_other_languages_have_other_strings(language: str, marked: str, answer: str, shown: str) -> None:
    assert trim(answer, replace(at_cursor(marked), language=language, uri_path="")) == shown


@pytest.mark.parametrize(
    ("marked", "answer", "shown"),
    [
        ("items = [\n|\n]\n", "1,\n2,\n]", "1,\n2,"),
        ('{\n"a": 1,\n|\n}\n', '"b": 2\n}', '"b": 2'),
        ("f(\n|\n)\n", "g(\nx\n)\n)", "g(\nx\n)"),
        ("if x {\n|\n}\n", "if y {\n    z()\n}", "if y {\n    z()\n}"),
        ("if x {\n|\n}\n", "y = ')}'\n}", "y = ')}'"),
        ("begin\n|\nend\n", "x = 1\nend", "x = 1"),
        ("begin\n|\nend\n", "if y\n  x = 1\nend", "if y\n  x = 1\nend"),
        ("[\n|\n]\n", "]", Withheld.REPEATS),
    ],
)
def test_short_lines_below_are_not_repeated(marked: str, answer: str, shown: str | Withheld) -> None:
    assert trim(answer, at_cursor(marked)) == shown


@pytest.mark.parametrize("before", ["f(", "x = '" + "a" * 150 + "' + g(", "(" * 1900, "'" * 1900, "x" * 20_000 + "("])
def test_the_amount_of_lexed_text_is_limited(before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lexed = []
    kinds = lexing._kinds
    monkeypatch.setattr(lexing, "_kinds", lambda lexer, text: lexed.append(len(text)) or kinds(lexer, text))  # type: ignore[func-returns-value]
    trim("')" * 100, at_cursor(before + "|)"))
    assert sum(lexed) < 25_000


def test_lexers_that_drop_characters_do_no_harm() -> None:
    for _, names, _, _ in get_all_lexers():
        text = "> main = print ()\n>>> x = f([\n"
        trim('a)]"', Snapshot(text + "y = g(')", len(text) + 7, None, language=names[0] if names else ""))
        trim("1,\n]", Snapshot(text + "\n]\n", len(text), None, language=names[0] if names else ""))


def test_plain_text_stays_plain_however_many_files_are_open() -> None:
    for number in range(100):
        lexing.lexer_for("", f"{number}.py")
    assert not lexing.Surroundings(replace(at_cursor("a (|)"), language="brainfog", uri_path="")).is_known
    assert not lexing.Surroundings(replace(at_cursor("a (|)"), language="", uri_path="a.txt")).is_known


@pytest.mark.parametrize(("language", "count"), [("python", 1500), ("cpp", 800)])
def test_lines_of_real_code_come_out_as_they_were_written(language: str, count: int) -> None:
    tried, wrong = sweep(language, count, a_file=20)
    assert (wrong, tried >= count) == ([], True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("language", "count"), [("python", 44_000), ("cpp", 20_000)])
def test_lines_of_much_real_code_come_out_as_they_were_written(language: str, count: int) -> None:
    tried, wrong = sweep(language, count, a_file=120, seed=1)
    assert (wrong, tried >= count) == ([], True)
