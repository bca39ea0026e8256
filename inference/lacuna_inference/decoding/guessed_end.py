"""Where the answer of a model that seldom closes a hole has probably filled it: at the end of a statement or paragraph.

These are guesses from indentation and blank lines, for chat-tuned models: others end their answers themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from lacuna_inference.decoding.surroundings import Surroundings
from lacuna_inference.decoding.syntax import CLOSERS
from lacuna_inference.text import indentation

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
    if _opens_for_below(around, line):
        return line.end
    if line.depth or not line.is_outer or not (before or content):
        return None
    if around.line_before.strip() and not before:
        is_complete = line.whole and line.closed >= around.closed_below[1]
        return line.end if is_complete and (around.rest.strip() or not content.endswith(_CONTINUED)) else None
    if not content:
        return before if line.whole else None
    leaves_block = line.start and content[0] not in CLOSERS and indentation(line.text) < _least_indentation(around)
    return before if leaves_block else None


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
