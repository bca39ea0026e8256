"""What is open at the end of a text: brackets, strings and comments, found without a tree.

A tree does not tell: where something is missing at the end, tree-sitter throws away what it likes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from lacuna_server.syntax.grammars import GRAMMARS, Grammar

_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_SPANNING = {"/*": "*/", '"""': '"""', "'''": "'''", "`": "`", '"': '"', "'": "'"}
"""What opens a string or a comment, with what closes it."""
_QUOTED = r'"(?:\\.|[^"\\\n])*(?:"|(?=\n)|\Z)'
_APOSTROPHES = r"'(?:\\.|[^'\\\n])*(?:'|(?=\n)|\Z)"
_TRIPLE = r'"""(?:\\.|[^\\])*?(?:"""|\Z)'
_COMMENTS = r"/\*.*?(?:\*/|\Z)|//[^\n]*"
_LITERALS = {
    "python": rf"{_TRIPLE}|'''(?:\\.|[^\\])*?(?:'''|\Z)|#[^\n]*|{_QUOTED}|{_APOSTROPHES}",
    "ruby": rf"#(?!\{{)[^\n]*|{_QUOTED}|{_APOSTROPHES}",
    "php": rf"{_COMMENTS}|#(?!\[)[^\n]*|{_QUOTED}|{_APOSTROPHES}",
    "java": rf"{_COMMENTS}|{_TRIPLE}|{_QUOTED}|{_APOSTROPHES}",
    "rust": rf'{_COMMENTS}|"(?:\\.|[^"\\])*(?:"|\Z)|' + r"'(?:\\[^\n]{1,8}|[^\\'\n])'",
}
_OTHER_LITERALS = rf"{_COMMENTS}|`(?:\\.|[^\\`])*(?:`|\Z)|{_QUOTED}|{_APOSTROPHES}"


@dataclass(frozen=True, slots=True)
class Opened:
    """Something open at the end of a text: where it was opened, and what closes it."""

    position: int
    closer: str

    @property
    def is_bracket(self) -> bool:
        """Whether it is not a string or a comment."""
        return self.closer in _BRACKETS.values()


def opened(text: str, grammar: Grammar, before: Sequence[Opened] = (), offset: int = 0) -> tuple[Opened, ...]:
    """What is open at the end of `text`, the innermost last, if `before` is open at its start.

    `offset` is the position of its start. Without `before`, it must begin in code.
    """
    found, at = list(before), 0
    if found and not found[-1].is_bracket:
        end = text.find(found[-1].closer)
        if end < 0:
            return tuple(found)
        at = end + len(found.pop().closer)
    for match in _tokens(grammar).finditer(text, at):
        token = match.group()
        if token in _BRACKETS:
            found.append(Opened(offset + match.start(), _BRACKETS[token]))
        elif token in _BRACKETS.values():
            _close(found, token)
        elif match.end() == len(text) and (closer := _unclosed(token)):
            found.append(Opened(offset + match.start(), closer))
    return tuple(found)


def unopened(text: str, grammar: Grammar) -> list[int]:
    """The positions of the closing brackets in `text` that nothing in it opened. The text must begin in code."""
    depth, found = 0, []
    for match in _tokens(grammar).finditer(text):
        if match.group() in _BRACKETS:
            depth += 1
        elif match.group() in _BRACKETS.values():
            depth -= 1
            if depth < 0:
                found.append(match.start())
                depth = 0
    return found


def literal_at_end(text: str, grammar: Grammar) -> str:
    """The string or comment that the letter at the end of `text` belongs to; empty for code. It must begin in code."""
    return next((match.group() for match in _tokens(grammar).finditer(text) if match.end() == len(text)), "")


def _close(found: list[Opened], token: str) -> None:
    """Removes from `found` the innermost one that `token` closes, and all within."""
    for index in reversed(range(len(found))):
        if found[index].closer == token:
            del found[index:]
            return


def _unclosed(token: str) -> str:
    """What closes the string or comment `token`, empty if it is closed."""
    opener = next((opener for opener in _SPANNING if token.startswith(opener)), "")
    closer = _SPANNING.get(opener, "")
    return "" if len(token) >= len(opener) + len(closer) and token.endswith(closer) else closer


@lru_cache(len(GRAMMARS))
def _tokens(grammar: Grammar) -> re.Pattern[str]:
    """Strings and comments as wholes, and brackets."""
    return re.compile(rf"{_LITERALS.get(grammar.name, _OTHER_LITERALS)}|[()\[\]{{}}]", re.DOTALL)
