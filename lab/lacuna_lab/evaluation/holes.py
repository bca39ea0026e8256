"""Cuts holes out of files. The same file and seed give the same holes for every model."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from enum import StrEnum

from lacuna_lab.evaluation.files import SourceFile

_WORD = re.compile(r"\w+")
_BORDER = re.compile(r"\b|(?<=\W)(?=\W)")
_TRIES = 40


class HoleKind(StrEnum):
    """What was cut out."""

    REST_OF_LINE = "rest of line"
    INSIDE_WORD = "inside a word"
    WHOLE_LINE = "whole line"
    LINES = "2 to 6 lines"
    SPAN = "random span"
    NEXT_LINE = "next line, left to right"


SINGLE_LINE = frozenset({HoleKind.REST_OF_LINE, HoleKind.INSIDE_WORD, HoleKind.WHOLE_LINE})


@dataclass(frozen=True, slots=True)
class EvaluationHole:
    """A hole and its original text. For `NEXT_LINE` the model does not see the suffix."""

    kind: HoleKind
    file: SourceFile
    prefix: str
    suffix: str
    truth: str


def cut(file: SourceFile, kind: HoleKind, rng: random.Random) -> EvaluationHole | None:
    """A random hole of this kind, or None when none was found in the file."""
    for _ in range(_TRIES):
        span = _CUTTERS[kind](file.text, rng)
        if span is not None and file.text[span[0] : span[1]].strip():
            start, end = span
            return EvaluationHole(kind, file, file.text[:start], file.text[end:], file.text[start:end])
    return None


def _line(text: str, rng: random.Random) -> tuple[int, int, int]:
    """Offsets of the start, the first non-blank character and the end of a random line."""
    at = rng.randrange(len(text))
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    return start, end - len(text[start:end].lstrip()), end


def _rest_of_line(text: str, rng: random.Random) -> tuple[int, int] | None:
    """From a token boundary after the line's first token to the end of the line."""
    _, content, end = _line(text, rng)
    borders = [content + match.start() for match in _BORDER.finditer(text[content:end]) if match.start()]
    borders = [border for border in borders if border < end]
    return (rng.choice(borders), end) if borders else None


def _inside_word(text: str, rng: random.Random) -> tuple[int, int] | None:
    _, content, end = _line(text, rng)
    words = [m for m in _WORD.finditer(text, content, end) if len(m.group()) > 2 and not m.group().isdigit()]
    if not words:
        return None
    word = rng.choice(words)
    return rng.randint(word.start() + 1, word.end() - 1), end


def _whole_line(text: str, rng: random.Random) -> tuple[int, int] | None:
    _, content, end = _line(text, rng)
    return (content, end) if content < end else None


def _lines(text: str, rng: random.Random) -> tuple[int, int] | None:
    _, content, end = _line(text, rng)
    for _ in range(rng.randint(1, 5)):
        following = text.find("\n", end + 1)
        if following < 0:
            return None
        end = following
    return (content, end) if content < end else None


def _span(text: str, rng: random.Random) -> tuple[int, int] | None:
    start = rng.randrange(len(text))
    return start, min(len(text), start + rng.randint(5, 80))


def _next_line(text: str, rng: random.Random) -> tuple[int, int] | None:
    start, content, end = _line(text, rng)
    return (content, end) if start > 0 and content < end else None


_CUTTERS = {
    HoleKind.REST_OF_LINE: _rest_of_line,
    HoleKind.INSIDE_WORD: _inside_word,
    HoleKind.WHOLE_LINE: _whole_line,
    HoleKind.LINES: _lines,
    HoleKind.SPAN: _span,
    HoleKind.NEXT_LINE: _next_line,
}
