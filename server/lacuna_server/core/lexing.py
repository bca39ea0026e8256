"""What the characters around a cursor are: code, string or comment. Asks Pygments; knows no language itself."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lacuna_inference.text import indentation
from lacuna_server.core.snapshot import Snapshot

if TYPE_CHECKING:
    from pygments.lexer import Lexer

CODE, STRING, COMMENT, ERROR = "c", "s", "#", "!"
"""One letter for each character. ERROR is what the lexer can make nothing of, such as a quote that is never closed."""

_WINDOW = 4000
"""Characters before the cursor's line in which its beginning is looked for: about 3 ms of lexing, once a line."""
_MAX_LINE_CODE_POINTS = 2000
"""Characters before the cursor that are lexed for one answer; past that (minified code) the text counts as plain."""
_PLAIN = 500
"""Characters of a plain text that are looked at."""


class Surroundings:
    """The cursor's line from a place on where nothing is open, so that what follows can be lexed on its own."""

    def __init__(self, snapshot: Snapshot) -> None:
        line_before, above = snapshot.line_before, snapshot.lines_around()[0]
        self._lexer = lexer_for(snapshot.language, snapshot.uri_path)
        window = _window(above)
        self.before = window[_outermost(self._lexer, window) :] + line_before
        if len(self.before) > _MAX_LINE_CODE_POINTS:
            self._lexer, self.before = lexer_for("", ""), line_before[-_PLAIN:]

    @property
    def is_known(self) -> bool:
        """Whether there is a lexer for the document's language."""
        return not _is_plain(self._lexer)

    def kinds(self, text: str) -> str:
        """The kinds of the line's characters with `text` at the cursor; those of `text` from `len(self.before)` on."""
        return _kinds(self._lexer, self.before + text)


@lru_cache(64)
def lexer_for(language: str, place: str) -> Lexer:
    """Pygments' lexer for a language's identifier, else for a file's name; the one for plain text if there is none."""
    from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
    from pygments.lexers.special import TextLexer
    from pygments.util import ClassNotFound

    options: dict[str, Any] = {"stripnl": False, "ensurenl": False}
    for find, name in ((get_lexer_by_name, language), (get_lexer_for_filename, place)):
        try:  # editors and Pygments name some languages differently
            found: Lexer = find(name, **options)
        except ClassNotFound:
            continue
        return found
    return lexer_for("", "") if language or place else TextLexer(**options)


def _is_plain(lexer: Lexer) -> bool:
    from pygments.lexers.special import TextLexer

    return isinstance(lexer, TextLexer)


@lru_cache(64)
def _outermost(lexer: Lexer, window: str) -> int:
    """Where to begin to lex so that the text behind `window` is read right: at its end, or where what is open begins.

    Kept, because it stays what it is while somebody types in a line.
    """
    if not window or len(window) > 2 * _WINDOW:
        return len(window)
    probe = _kinds(lexer, window + "x")
    if probe[-1] not in (STRING, COMMENT) or probe[-2] != probe[-1]:
        return len(window)
    return len(probe.rstrip(probe[-1]))


def _window(above: str) -> str:
    """The end of `above`, from a line on that is likely to begin outside of strings and comments.

    That is the last of those that are indented least. All of a short text.
    """
    if len(above) <= _WINDOW:
        return above
    window = above[above.find("\n", len(above) - _WINDOW) + 1 :]
    lines = window.splitlines(keepends=True)
    filled = [number for number, line in enumerate(lines) if line.strip()]
    if not filled:
        return ""
    least = min(indentation(lines[number]) for number in filled)
    first = max(number for number in filled if indentation(lines[number]) == least)
    return "".join(lines[first:])


def _kinds(lexer: Lexer, text: str) -> str:
    """A letter for each character; the brackets around code inside a string are code."""
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
    found = "".join(kinds)
    # lexers of transcripts leave characters out, or add some: what they say fits no place
    return found if len(found) == len(text) else CODE * len(text)
