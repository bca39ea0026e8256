"""What is bracket, string or comment in a text, for common languages: enough to see where a hole ends.

It reads a text in time linear in its length, from any state, so that a growing answer is read line by line. Where it
cannot tell (a regular expression with a quote in it), the next line begins anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

CLOSERS = {")": "(", "]": "[", "}": "{"}
_BRACKETS = frozenset("()[]{}")
_SPANNING = frozenset(('"""', "'''", "`", "/*", "<!--", "--[["))
"""What may be open over several lines."""
_CLOSED_BY = {"/*": "*/", "<!--": "-->", "--[[": "]]"}
_LINE_COMMENTS = frozenset(("#", "//", "--"))
_CHARACTER = r"'(?:\\'|\\[^\n']+|[^\\'\n])'|(?P<begun>'(?:\\'?[^\n']{0,8}|[^\\'\n])?\Z)"
"""A character, in languages where a quote alone is something else: a lifetime, a label, an apostrophe."""
_OPERAND = r"(?<=[(,=:\[!&|?{};]) ?/(?![*/])"
_EXPRESSION = rf"{_OPERAND}(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/|(?P<begun>{_OPERAND}[^\n]*\Z)"
"""A regular expression of JavaScript, where an operand is expected."""


@dataclass(frozen=True, slots=True)
class Syntax:
    """How a language opens strings and comments, and whether braces enclose its blocks. `literals` is a regular
    expression of what is skipped whole; its group `begun` is the beginning of such a thing at the end of a text."""

    openers: tuple[str, ...]
    braces: bool = False
    literals: str = ""
    brackets: str = r"[()\[\]{}]"
    is_known: bool = True
    _next: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        longest_first = sorted(self.openers, key=len, reverse=True)
        parts = [*([self.literals] if self.literals else []), *map(re.escape, longest_first), self.brackets]
        object.__setattr__(self, "_next", re.compile("|".join(parts)))

    @staticmethod
    def is_string(opener: str) -> bool:
        """Whether `opener` opens a string, not a comment."""
        return bool(opener) and opener not in _LINE_COMMENTS and opener not in _CLOSED_BY

    @staticmethod
    def spans_lines(opener: str) -> bool:
        return opener in _SPANNING

    @staticmethod
    def closer(opener: str) -> str:
        """What closes a string or comment that `opener` opened."""
        return _CLOSED_BY.get(opener, opener)

    def scan(self, text: str, inside: str = "") -> Scan:
        """Reads `text`, at whose start `inside` is open: what opened it, or empty in code."""
        marks, at = list[Mark](), 0
        match: re.Match[str] | None
        while True:
            if inside:
                match = _end_of(inside).match(text, at)
                if match is None:
                    return Scan(tuple(marks), inside)
                if match["closer"]:
                    marks.append(Mark(match.start("closer"), match["closer"], inside))
                inside, at = "", match.end()
            match = self._next.search(text, at)
            if match is None:
                return Scan(tuple(marks), "")
            at, found = match.end(), match.group()
            if self.literals and match["begun"] is not None:
                return Scan(tuple(marks), "", match.start())
            if found in _BRACKETS:
                marks.append(Mark(match.start(), found))
            elif found in self.openers:
                inside = found


@dataclass(frozen=True, slots=True)
class Mark:
    """A bracket in code; or the end of a string or comment, with what opened it as `ends`."""

    position: int
    text: str
    ends: str = ""


@dataclass(frozen=True, slots=True)
class Scan:
    """The marks of a text, and what is open at its end. From `unsure` on, what follows the text decides."""

    marks: tuple[Mark, ...]
    inside: str
    unsure: int | None = None


def open_brackets(marks: Iterable[Mark]) -> tuple[list[str], list[str]]:
    """The closing brackets among `marks` that nothing there opened, in order, and the opening ones left open.

    A bracket of another kind than the innermost open one closes those within, or is ignored.
    """
    unmatched, stack = list[str](), list[str]()
    for mark in marks:
        if mark.ends:
            continue
        opener = CLOSERS.get(mark.text)
        if opener is None:
            stack.append(mark.text)
        elif opener in stack:
            while stack.pop() != opener:
                pass
        elif not stack:
            unmatched.append(mark.text)
    return unmatched, stack


@lru_cache(32)
def _end_of(opener: str) -> re.Pattern[str]:
    """Matches up to the end of what `opener` opened; without `closer` where it ends with its line."""
    if opener in _LINE_COMMENTS:
        return re.compile(r"[^\n]*\n(?P<closer>)?")
    closer = re.escape(_CLOSED_BY.get(opener, opener))
    if opener in _CLOSED_BY:
        return re.compile(rf".*?(?P<closer>{closer})", re.DOTALL)
    if opener in _SPANNING:
        return re.compile(rf"(?:\\.|[^\\])*?(?P<closer>{closer})", re.DOTALL)
    return re.compile(rf"(?:\\.|[^\\\n])*?(?:(?P<closer>{closer})|(?=\n))", re.DOTALL)


_C = ("//", "/*", '"')
_PYTHON = Syntax(("#", '"""', "'''", '"', "'"))
_SCRIPT = Syntax((*_C, "'", "`"), braces=True, literals=_EXPRESSION)
_QUOTED = Syntax((*_C, "'"), braces=True)
_GO = Syntax((*_C, "`"), braces=True, literals=_CHARACTER)
_RUST = Syntax(_C, braces=True, literals=_CHARACTER)
_JVM = Syntax((*_C, '"""'), braces=True, literals=_CHARACTER)
_HASH = Syntax(("#", '"', "'"))
PROSE = Syntax((), brackets="(?!)", is_known=False)
"""Prose and markup, where neither brackets nor quotes need to match."""
UNKNOWN = Syntax(('"',), literals=_CHARACTER, is_known=False)
"""For a text of which nothing is known."""

_BY_EXTENSION = {
    **dict.fromkeys(("py", "pyi", "pyw", "ipynb"), _PYTHON),
    **dict.fromkeys(("js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts"), _SCRIPT),
    **dict.fromkeys(("css", "scss", "less", "php"), _QUOTED),
    **dict.fromkeys(("c", "h", "cc", "cpp", "cxx", "hh", "hpp", "m", "json", "jsonc", "proto", "zig"), _RUST),
    "go": _GO, "rs": _RUST, "dart": Syntax((*_C, "'", '"""', "'''"), braces=True),
    **dict.fromkeys(("java", "kt", "kts", "scala", "swift", "cs", "groovy"), _JVM),
    **dict.fromkeys(("rb", "sh", "bash", "yaml", "yml", "toml", "r", "jl", "pl"), _HASH),
    "lua": Syntax(("--", "--[[", '"', "'")), "sql": Syntax(("--", "/*", "'", '"')),
}  # fmt: skip
_PROSE_EXTENSIONS = frozenset(("md", "markdown", "mdx", "rst", "txt", "adoc", "tex", "html", "htm", "xml"))


def syntax_of(path: str | None) -> Syntax:
    """The syntax of a file by its name."""
    extension = (path or "").rpartition(".")[2].lower()
    return PROSE if extension in _PROSE_EXTENSIONS else _BY_EXTENSION.get(extension, UNKNOWN)
