"""Which characters around the cursor are code, string or comment.

Pygments' lexers tell, since what is suggested need not parse. What the cursor is in, a syntax tree tells.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lacuna_inference.text import indentation
from lacuna_server.core.snapshot import Snapshot, with_lf
from lacuna_server.syntax.grammars import grammar_for
from lacuna_server.syntax.places import Kind, kind_at

if TYPE_CHECKING:
    from pygments.lexer import Lexer

CODE, STRING, COMMENT, ERROR = "c", "s", "#", "!"
"""Kinds of characters, a letter each. ERROR is what the lexer cannot read, such as a quote that is never closed."""

_WINDOW = 4000
"""Characters before the cursor's line that are lexed to find out what is open there: about 3 ms, once a line."""
_MAX_LINE_CODE_POINTS = 2000
"""Code points before the cursor that are lexed for one answer. Longer lines (minified code) are read as plain text."""
_MAX_PLAIN_CODE_POINTS = 500
"""Code points before the cursor that are read of plain text."""


class Surroundings:
    """The text before the cursor, from a position where no string or comment is open, so that it can be lexed alone."""

    def __init__(self, snapshot: Snapshot) -> None:
        line_before, above = snapshot.line_before, snapshot.lines_around()[0]
        self._lexer = lexer_for(snapshot.language, snapshot.uri_path)
        window = _window(above)
        self.before = window[_outermost(self._lexer, window) :] + line_before
        if len(self.before) > _MAX_LINE_CODE_POINTS:
            self._lexer, self.before = lexer_for("", ""), line_before[-_MAX_PLAIN_CODE_POINTS:]

    @property
    def is_known(self) -> bool:
        """Whether there is a lexer for the document's language."""
        return not _is_plain(self._lexer)

    def kinds(self, text: str) -> str:
        """The kinds of `self.before` followed by `text`, a letter for each character."""
        return _kinds(self._lexer, self.before + text)


def kind_at_cursor(snapshot: Snapshot) -> Kind:
    """What a letter that is typed at the cursor would belong to. Reads the whole file."""
    grammar = grammar_for(snapshot.uri_path or snapshot.path or "", snapshot.language)
    kind = None if grammar is None else kind_at(with_lf(snapshot.prefix), with_lf(snapshot.suffix), grammar)
    return kind or _kind_of_token(snapshot)


@lru_cache(64)
def lexer_for(language: str, path: str) -> Lexer:
    """The Pygments lexer for a language identifier, else for a file name, else for plain text."""
    from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
    from pygments.lexers.special import TextLexer
    from pygments.util import ClassNotFound

    options: dict[str, Any] = {"stripnl": False, "ensurenl": False}
    for find, name in ((get_lexer_by_name, language), (get_lexer_for_filename, path)):
        try:  # editors and Pygments name some languages differently
            lexer: Lexer = find(name, **options)
        except ClassNotFound:
            continue
        return lexer
    return lexer_for("", "") if language or path else TextLexer(**options)


def _kind_of_token(snapshot: Snapshot) -> Kind:
    from pygments.token import Comment, String

    lexer = lexer_for(snapshot.language, snapshot.uri_path)
    for start, kind, value in lexer.get_tokens_unprocessed(f"{snapshot.prefix}x{snapshot.suffix}"):
        if start + len(value) > snapshot.offset:
            if kind in String:
                return Kind.DOCSTRING if kind in String.Doc else Kind.STRING
            return Kind.COMMENT if kind in Comment else Kind.CODE
    return Kind.CODE


def _is_plain(lexer: Lexer) -> bool:
    from pygments.lexers.special import TextLexer

    return isinstance(lexer, TextLexer)


@lru_cache(64)
def _outermost(lexer: Lexer, window: str) -> int:
    """The offset from which to lex so that the text after `window` is read right.

    It is the end of the window, or the start of the string or comment that is open there. Cached, because it does not
    change while the user types in a line.
    """
    if not window or len(window) > 2 * _WINDOW:
        return len(window)
    probe = _kinds(lexer, window + "x")
    if probe[-1] not in (STRING, COMMENT) or probe[-2] != probe[-1]:
        return len(window)
    return len(probe.rstrip(probe[-1]))


def _window(above: str) -> str:
    """The end of `above`, from a line that is likely to begin outside of strings and comments.

    That is the last of the least indented lines. A short text is returned whole.
    """
    if len(above) <= _WINDOW:
        return above
    window = above[above.find("\n", len(above) - _WINDOW) + 1 :]
    lines = window.splitlines(keepends=True)
    nonblank = [number for number, line in enumerate(lines) if line.strip()]
    if not nonblank:
        return ""
    min_indent = min(indentation(lines[number]) for number in nonblank)
    first = max(number for number in nonblank if indentation(lines[number]) == min_indent)
    return "".join(lines[first:])


def _kinds(lexer: Lexer, text: str) -> str:
    """A letter for each character. The brackets around an interpolation in a string are code."""
    from pygments.token import Comment, Error, String

    kinds = []
    for _, kind, value in lexer.get_tokens_unprocessed(text):
        if kind in String and not (kind in String.Interpol and value.count("{") != value.count("}")):
            letter = STRING
        elif kind in Comment and kind not in Comment.Preproc:
            letter = COMMENT
        else:
            letter = ERROR if kind in Error else CODE
        kinds.append(letter * len(value))
    letters = "".join(kinds)
    # lexers for transcripts drop or add characters, so their kinds do not line up with the text
    return letters if len(letters) == len(text) else CODE * len(text)
