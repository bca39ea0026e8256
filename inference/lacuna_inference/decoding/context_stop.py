"""Where an answer leaves its hole: it repeats the text after the cursor, closes what that closes, or explains itself.

Models close a hole with a token of their own, but chat-tuned ones hardly ever: they write on into the text that is
there already, or begin a Markdown fence. The text alone tells where; nothing here knows tokens or models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from lacuna_inference.api import Stop, StopReason
from lacuna_inference.decoding.guessed_end import AnswerLine, guessed_end, is_new
from lacuna_inference.decoding.stopping import Cut
from lacuna_inference.decoding.surroundings import Surroundings
from lacuna_inference.decoding.syntax import CLOSERS, PROSE, Scan

_FENCE = "```"
_SENTENCE = re.compile(r"[A-Z][a-z']+(?: [\w'`(),-]+){4,}[.:]")
_SENTENCE_BEGUN = re.compile(r"[A-Z][a-z']*(?: [\w'`(),-]*)*[.:]?")


def context_stop(before: str, after: str, path: str | None, stop: Stop, closes_holes: bool = True) -> ContextStop:
    """What ends the answer between `before` and `after`, from a model that `closes_holes` or seldom does."""
    return ContextStop(Surroundings(before, after, path), stop.dedent_below is not None, not closes_holes)


class ContextStop:
    """Finds where a growing text leaves its hole. Where `blocks` end an answer, the first one between braces does. With
    `guesses`, statements and paragraphs do, too."""

    def __init__(self, around: Surroundings, blocks: bool = False, guesses: bool = False) -> None:
        self.certain = 0
        """How many code points of the last text no rule here can cut any more."""
        self._around = around
        self._syntax = around.syntax
        self.ends_blocks = blocks and around.syntax.braces
        """It finds where blocks end."""
        self.on_blank_line = around.on_blank_line
        self._guesses = guesses
        self._start = 0
        """Where the last line of the text begins."""
        self._inside = around.inside
        """The string or comment that is open there."""
        self._depth = self._closed = 0
        """Brackets of the text that are open there, and brackets from before the cursor that it has closed."""
        self._repeated: int | None = None
        """Where the text ends before a line that repeats the first one below, which alone does not tell."""
        self._block_end: int | None = None
        """Where a block of the text has ended; a word such as `else` may still continue it."""

    def find(self, text: str) -> Cut | None:
        """Where to cut `text`, or None to continue. It must begin with the text of the last call, which had no cut."""
        while True:
            newline = text.find("\n", self._start)
            line = AnswerLine(self._start, text[self._start : newline + 1 or None], newline >= 0)
            self.certain = len(text.rstrip())
            scan = self._syntax.scan(line.text, self._inside)
            cuts = [*self._marks(text, line, scan), *self._rest(text, line), *self._lines(text, line)]
            self._hold(self._repeated, self._block_end, None if scan.unsure is None else line.start + scan.unsure)
            if cuts and self._repeated is not None:
                return self._repeated, StopReason.OUTSIDE
            if cuts or (cuts := [*self._guess(text, line, scan)]) or not line.whole:
                return min(cuts, default=None)
            if self.ends_blocks and line.text.lstrip().startswith("}") and not self._depth and not scan.inside:
                self._block_end = line.end
            self._start, self._inside = newline + 1, scan.inside

    def _hold(self, *positions: int | None) -> None:
        """What is after `positions` is not certain."""
        self.certain = min([self.certain, *(position for position in positions if position is not None)])

    def _marks(self, text: str, line: AnswerLine, scan: Scan) -> Iterator[Cut]:
        """Cuts before a quote or a bracket that the text after the cursor has."""
        around, depth, closed = self._around, self._depth, self._closed
        for mark in scan.marks:
            position = line.start + mark.position
            if mark.ends:
                if around.closes_inside:  # it is the first that ends
                    yield self._join(text, line, position), StopReason.OUTSIDE
                    return
            elif mark.text not in CLOSERS:
                depth += 1
            elif depth:
                depth -= 1
            else:
                closing, left_open = around.closed_below
                if closed >= left_open and mark.text == closing:
                    yield self._join(text, line, position), StopReason.OUTSIDE
                    return
                closed += 1
        if around.closes_inside and scan.inside == around.inside:
            self._hold(_overlap(text, line.start, len(text), self._syntax.closer(around.inside)))
        if line.whole:
            self._depth, self._closed = depth, closed

    def _join(self, text: str, line: AnswerLine, position: int) -> int:
        """Where to cut `text`, which closes at `position` what the text after the cursor closes."""
        if self._around.rest.strip():
            return min(position, _overlap(text, line.start, position + 1, self._around.rest))
        return position if text[line.start : position].strip() else len(text[:position].rstrip())

    def _rest(self, text: str, line: AnswerLine) -> Iterator[Cut]:
        """Cuts a line that ends as the cursor's line does."""
        rest = self._around.rest
        if not rest.strip():
            return
        if not line.whole:
            self._hold(*(_overlap(text, line.start, line.end, same) for same in (rest, rest.lstrip())))
        elif rest.lstrip()[0] not in CLOSERS:
            same = next((same for same in (rest, rest.lstrip()) if line.text.rstrip().endswith(same)), None)
            if same is not None and (not self._around.rest_closes or self._is_balanced(text[: line.end - len(same)])):
                yield line.end - len(same), StopReason.OUTSIDE

    def _is_balanced(self, text: str) -> bool:
        """Whether `text` leaves open what is open at the cursor, and nothing else."""
        scan = self._syntax.scan(text, self._around.inside)
        steps = (-1 if mark.text in CLOSERS else 1 for mark in scan.marks if not mark.ends)
        return not sum(steps) and scan.inside == self._around.inside

    def _lines(self, text: str, line: AnswerLine) -> Iterator[Cut]:
        """Cuts before a line that does not belong to the hole."""
        content, before = line.text.strip(), len(text[: line.start].rstrip())
        if not content:
            return
        if self._block_end is not None:
            if is_new(content, line.whole):
                yield self._block_end, StopReason.DEDENT
            elif line.whole:
                self._block_end = None
        if not line.start and self._around.line_before.strip():
            return
        if not self._inside and self._syntax is not PROSE:
            if content.startswith(_FENCE) or (line.whole and self._syntax.is_known and _SENTENCE.fullmatch(content)):
                yield before, StopReason.OUTSIDE
            elif not line.whole and (_FENCE.startswith(content) or _SENTENCE_BEGUN.fullmatch(content)):
                self._hold(before)
        indented = line.text.rstrip() if line.start else self._around.line_before + line.text.rstrip()
        yield from self._repeats(indented, before, line.whole)

    def _guess(self, text: str, line: AnswerLine, scan: Scan) -> Iterator[Cut]:
        """Cuts where a statement or a paragraph ends."""
        if self._guesses:
            outer = self._around.inside
            is_outer = scan.inside == (outer if not line.whole or self._syntax.spans_lines(outer) else "")
            line = replace(line, depth=self._depth, closed=self._closed, is_outer=is_outer)
            if (end := guessed_end(self._around, text, line)) is not None:
                yield end, StopReason.OUTSIDE
            self._hold(None if line.whole else len(text[: line.start].rstrip()))

    def _repeats(self, line: str, before: int, whole: bool) -> Iterator[Cut]:
        """Cuts `before` a line that is there below, or one line earlier where the first does not tell."""
        repeated, below = self._repeated, self._around.lines_below
        if not below:
            return
        if repeated is not None:
            if whole and line == below[1]:
                yield repeated, StopReason.OUTSIDE
                return
            self._repeated = None if whole or not below[1].startswith(line) else repeated
        if not before:  # the indentation at the cursor may be wrong; and a line from further below may go on otherwise
            line, below = line.strip(), tuple(other.strip() for other in below[:2])
        if not whole:
            self._hold(before if any(other.startswith(line) for other in below) else None)
        elif line in below[: None if before else 1] and self._around.is_telling(line):
            yield before, StopReason.OUTSIDE
        elif below[1:] and line == below[0]:
            self._repeated = before


def _overlap(text: str, start: int, end: int, rest: str) -> int:
    """The first position from `start` on from which `text` up to `end` is the beginning of `rest`; at most `end`."""
    return next(position for position in range(start, end + 1) if rest.startswith(text[position:end]))
