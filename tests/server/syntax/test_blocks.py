"""What opens a block in each language, and what only looks like it."""

from __future__ import annotations

import pytest

from lacuna_server.syntax.blocks import opens_block
from lacuna_server.syntax.grammars import GRAMMARS, grammar_for

OPENING = {
    "python": ["if x:", "    for a in b:", "def f(a) -> int:", ") -> None:", "async def f():", "else:", "try:",
               "with open(p) as f:", "match x:", "    case 1:", "class A:  # of letters", "x = {"],
    "javascript": ["if (a) {", "const f = (a) => {", "function f() {", "} else {", "  case 1:", "default:",
                   "let a = {"],
    "javascriptreact": ["const A = () => {"],
    "typescript": ["class A {", "interface B {", "f(a: number): void {", "    case 'a':", "a.map((b) => {  // all"],
    "typescriptreact": ["export function A() {"],
    "go": ["func f(a int) error {", "if err != nil {", "switch a {", "case 1:", "default:", "type A struct {"],
    "rust": ["fn f(a: u8) -> u8 {", "match a {", "    Some(x) => {", "impl A for B {", "if let Some(a) = b {"],
    "java": ["class A {", "public void f() {", "try {", "    case 1:", "list.forEach(a -> {"],
    "c": ["int f(void) {", "struct a {", "case 'x':", "default:", "do {"],
    "cpp": ["class A {", "public:", "namespace a {", "auto f = [&](int a) {"],
    "csharp": ["namespace A {", "get {", "case 1:", "foreach (var a in b) {"],
    "ruby": ["def f(a)", "list.each do |a|", "list.each do", "begin", "else", "items.map { |a|", "if a.b?(c)"],
    "php": ["function f($a) {", "foreach ($a as $b) {", "case 1:", "class A {"],
}  # fmt: skip
NOT_OPENING = {
    "python": ["x:", "a[1:", '"key":', "lambda x:", 'f"{', "# for all:", "x = 'if a:", "print(a)", "d = {'a': 1}"],
    "javascript": ["a ? b :", "key:", "`${", "// while {", "'{", "f(a"],
    "typescript": ["const a:", "f(a:", "key:", "type A = B |"],
    "go": ["a :=", "// {", "key:", '"{'],
    "rust": ["let a:", "fn f(a:", "// {", '"{', "A::"],
    "java": ["a ? b :", '"{', "for (var a :"],
    "c": ["a ? b :", '"{', "/* {"],
    "cpp": ["A::", "std:", "for (auto a :"],
    "csharp": ["F(name:", '"{', "class A :"],
    "ruby": ["def f", "# each do", "key:", "'do", "a.b(c)", "if a"],
    "php": ["$a ? $b :", "A::", "# {", "'{"],
}
CASES = [(language, line, True) for language, lines in OPENING.items() for line in lines] + [
    (language, line, False) for language, lines in NOT_OPENING.items() for line in lines
]


@pytest.mark.parametrize(("language", "line", "opens"), CASES)
def test_what_opens_a_block(language: str, line: str, opens: bool) -> None:
    assert opens_block(line, grammar_for("", language)) is opens


@pytest.mark.parametrize(("line", "opens"), [("server:", True), ("a {", True), ("a: b", False)])
def test_in_other_languages_a_colon_or_a_brace_does(line: str, opens: bool) -> None:
    assert opens_block(line, None) is opens


def test_every_language_has_cases() -> None:
    assert {grammar.name for grammar in GRAMMARS} <= OPENING.keys()
