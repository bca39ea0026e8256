"""Where the answer of a model that seldom closes a hole has probably filled it: at the end of a statement or paragraph.

These are guesses from indentation and blank lines, for chat-tuned models: others end their answers themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from lacuna_inference.decoding.surroundings import Surroundings
from lacuna_inference.decoding.syntax import CLOSERS
from lacuna_inference.text import indentation

_CONTINUATIONS = ("else", "elif", "elseif", "except", "finally", "catch", "rescue", "ensure", "end")
"""Words that continue a statement after a block of it."""
_BRACKETS = ("{", "(", "[")
_CONTINUED = (":", *_BRACKETS, ",", "\\", "=")
"""At the end of a line: what it begins goes on below."""


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """A line of an answer: where it begins, its text, and whether it has ended. At its end `depth` brackets of the
    answer are open, `closed` brackets from before the cursor have been closed, and `is_outer` says that it is in the
    string or comment of the cursor, or in none if the cursor is in none."""

    start: int
    text: str
    whole: bool
    depth: int = 0
    closed: int = 0
    is_outer: bool = True

    @property
    def end(self) -> int:
        """Where its text ends, without blanks."""
        return self.start + len(self.text.rstrip())


def guessed_end(around: Surroundings, text: str, line: AnswerLine) -> int | None:
    """Where to cut `text`, whose last line is `line`; None where it seems to go on."""
    content, before = line.text.strip(), len(text[: line.start].rstrip())
    if _opens_for_below(around, line) or _is_item(around, line):
        return line.end
    if line.depth or not line.is_outer or not (before or content):
        return None
    if around.line_before.strip() and not before:
        is_complete = line.whole and line.closed >= around.closed_below[1]
        return line.end if is_complete and (around.rest.strip() or not content.endswith(_CONTINUED)) else None
    if not content:
        return before if line.whole else None
    if not line.start or content[0] in CLOSERS:
        return None
    ends_block = is_new(content, line.whole) and _is_after_block(around, text, line)
    return before if ends_block or indentation(line.text) < _least_indentation(around) else None


def is_new(content: str, whole: bool) -> bool:
    """Whether a line with `content`, which may grow unless it is `whole`, does not continue the statement before it."""
    begun = not whole and any(word.startswith(content) for word in _CONTINUATIONS)
    return not begun and not content.startswith(_CONTINUATIONS)


def _is_after_block(around: Surroundings, text: str, line: AnswerLine) -> bool:
    """Whether `line` is indented as the answer's first line, and the one before it more."""
    first, previous = text.split("\n", 1)[0], text[: line.start].rstrip().rpartition("\n")[2]
    return indentation(line.text) <= indentation(around.line_before + first) < indentation(previous)


def _is_item(around: Surroundings, line: AnswerLine) -> bool:
    """Whether `line` ends an item of a list that the text below closes: how many are missing cannot be known."""
    if not line.whole or line.depth or line.closed or not line.is_outer or not line.text.rstrip().endswith(","):
        return False
    return bool(around.closed_below[0]) and not around.inside and not around.line_before.strip()


def _opens_for_below(around: Surroundings, line: AnswerLine) -> bool:
    """Whether `line` opens what the more indented line below the cursor is in."""
    opened = line.depth == int(line.text.rstrip().endswith(_BRACKETS))
    if not line.whole or not opened or not line.text.rstrip().endswith((":", *_BRACKETS)) or not around.lines_below:
        return False
    width = indentation(line.text if line.start else around.line_before + line.text)
    return line.is_outer and width < indentation(around.lines_below[0])


def _least_indentation(around: Surroundings) -> int:
    """The indentation of lines that belong to the block at the cursor."""
    width = indentation(around.line_before)
    if around.line_before.strip():
        return width + 1
    return min(width, indentation(around.lines_below[0])) if around.lines_below else width
