"""What the cursor is in: code, a string, a docstring or a comment, in each language."""

from __future__ import annotations

import pytest

from lacuna_server.syntax.grammars import GRAMMARS, grammar_for
from lacuna_server.syntax.places import Kind, kind_at

CODE = {
    "python": ["x = |\n", 'x = f"{a|}"\n', "# it's\nx = |\n", "x = 'a' |\n"],
    "javascript": ["`a ${b|} c`\n", "x = a / |b\n", "f(|)\n"],
    "typescript": ["let a: str|ing = 'b'\n"],
    "typescriptreact": ["const a = <A b={c|} />\n"],
    "go": ["package a\n\nfunc f() {\n\tb := |\n}\n"],
    "rust": ["fn f<'a>(b: &'a|) {}\n"],
    "java": ["class A { int b = |; }\n"],
    "c": ["int a = |;\n"],
    "cpp": ["int a = b|;\n"],
    "csharp": ['var a = $"b {c|}";\n', "string a| = b;\n"],
    "ruby": ['a = "b #{c|}"\n', "a = b|\n"],
    "php": ["<?php\n$a = |;\n"],
}
STRING = {
    "python": ['x = """a |\n"""\n', 'x = f"{a} |"\n', 'f("a |\ny = 1\n'],
    "javascript": ["f('a |')\n", "`a ${b} c|`\n", "x = /a|b/\n", "f('a |\n"],
    "typescript": ["let a = 'b|'\n"],
    "typescriptreact": ["const a = <A b='c|' />\n"],
    "go": ['f("a |")\n', "a := `b |`\n", "a := 'b|'\n"],
    "rust": ['fn f() { g("a |") }\n', 'fn f() { g(r#"a "|"#) }\n', "fn f() { let a = '|'; }\n"],
    "java": [
        'class A { String b = "c |"; }\n',
        'class A { String b = """\n  c |\n"""; }\n',
        "class A { char b = 'c|'; }\n",
    ],
    "c": ['char *a = "b |";\n', "char a = 'b|';\n"],
    "cpp": ['auto a = R"(b " |)";\n', 'auto a = "b|";\n'],
    "csharp": ['var a = "b |";\n', 'var a = $"b {c} |";\n', 'var a = @"b ""|";\n'],
    "ruby": ['a = "b |"\n', "a = <<~B\n  c |\nB\n", "a = %w[b |]\n"],
    "php": ["<?php\n$a = 'b |';\n", '<?php\n$a = "b |";\n', "<?php\n$a = <<<B\nc |\nB;\n"],
}
COMMENT = {
    "python": ["x = 1  # set |\ny = 2\n"],
    "javascript": ["// a |\nf()\n", "/* a\n * |\n */\n"],
    "typescript": ["let a = 1 // b|\n"],
    "go": ["// a |\n"],
    "rust": ["/// a |\nfn f() {}\n", "fn f() { /* a | */ }\n"],
    "java": ["class A { // b |\n}\n"],
    "c": ["int a; /* b | */\n", "int a; // b |\n"],
    "cpp": ["int a; // b |\n"],
    "csharp": ["// a |\n"],
    "ruby": ["# a |\n", "=begin\n|\n=end\n"],
    "php": ["<?php\n# a |\n", "<?php\n// a |\n", "<?php\n/** a | */\n"],
}
DOCSTRING = {
    "python": ['def f():\n    """Do |\n    """\n', '"""Of |"""\n', 'class A:\n    # of\n    """A |."""\n'],
}
CASES = [
    (language, marked, kind)
    for kind, table in ((Kind.CODE, CODE), (Kind.STRING, STRING), (Kind.COMMENT, COMMENT), (Kind.DOCSTRING, DOCSTRING))
    for language, cursors in table.items()
    for marked in cursors
]


@pytest.mark.parametrize(("language", "marked", "kind"), CASES)
def test_what_a_cursor_is_in(language: str, marked: str, kind: Kind) -> None:
    before, _, after = marked.partition("|")
    grammar = grammar_for("", language)
    assert grammar is not None
    assert kind_at(before, after, grammar) is kind


@pytest.mark.parametrize("kind", [CODE, STRING, COMMENT])
def test_every_language_has_cases(kind: dict[str, list[str]]) -> None:
    assert {grammar.name for grammar in GRAMMARS} - {"typescriptreact"} <= kind.keys()
