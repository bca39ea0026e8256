"""Where a suggestion may be cut: after its first word, its first call, its line, and each further line. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_FIRST_WORD = re.compile(r"\s*(?:\w+|[^\w\s]+)")
_LINE_END = re.compile(r"\S(?=[^\S\n]*(?:\n|$))")
_MIN_LENGTH = 2
_OPENERS, _CLOSERS = "([{", ")]}"
_STRING = re.compile(r"([\"'`])(?:\\.|(?!\1)[^\\\n])*\1")


class Part(StrEnum):
    """How much of a suggestion a beginning is."""

    WORD = "word"
    CALL = "call"
    LINE = "line"
    LINES = "lines"


@dataclass(frozen=True, slots=True)
class Cut:
    """The beginning of a suggestion up to `end`, in code points."""

    part: Part
    end: int


def cuts(text: str) -> tuple[Cut, ...]:
    """The beginnings of `text` that may be shown, the shortest first; the last is all of it, without blanks at its end.

    A single character is none: accepting it would save no key. Where two end at the same place, they count as the
    larger one.
    """
    lines = [match.end() for match in _LINE_END.finditer(text)]
    if not lines:
        return ()
    word = _FIRST_WORD.match(text)
    found = {} if word is None or len(word.group().strip()) < _MIN_LENGTH else {word.end(): Part.WORD}
    if (call := _call_end(text, lines[0])) is not None and len(text[:call].strip()) >= _MIN_LENGTH:
        found[call] = Part.CALL
    found |= {end: Part.LINES if number else Part.LINE for number, end in enumerate(lines)}
    return tuple(Cut(found[end], end) for end in sorted(found))


def _call_end(text: str, line_end: int) -> int | None:
    """Where the first brackets are closed, or those that were open before the text; None if that is not in its line."""
    depth, position = 0, 0
    while position < line_end:
        string = _STRING.match(text, position)
        character = text[position]
        position = string.end() if string else position + 1
        depth += (character in _OPENERS) - (character in _CLOSERS)
        if character in _CLOSERS and depth <= 0:
            return position
    return None
