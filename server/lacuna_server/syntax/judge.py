"""Whether a text that is inserted at a cursor adds syntax errors.

The text around is being written, and may have errors of its own: only more of them count. Nothing is said where the
cursor's line cannot be read however it goes on, where there are errors close by, which change with every character, or
where there are many. An inserted text may be unfinished: what it leaves open is judged only in Python, where enough is
known of how it may go on; elsewhere what stands before that is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import cached_property
from itertools import islice

from lacuna_server.syntax.endings import endings
from lacuna_server.syntax.faults import Fault, faults
from lacuna_server.syntax.grammars import Grammar
from lacuna_server.syntax.opened import Opened, opened
from lacuna_server.syntax.trees import ParsedText, around_cursor

_MOST_ENDINGS = 10
_MOST_S = 0.04
"""Seconds of processor time for one answer; most take a twentieth of it."""
_MOST_FAULTS = 20
_NEAR = 2000
"""Bytes around the cursor in which no error may be."""
_CONTINUED = re.compile(r"(?:^[ \t]*(?:@|#\[|\[|template\b)[^\n]*(?:\n|\Z))+\Z", re.MULTILINE)
"""Lines that belong to the definition that follows."""
_CONDITIONS = re.compile(r"^[ \t]*#[ \t]*if(?!.*^[ \t]*#[ \t]*endif)", re.MULTILINE | re.DOTALL)
_LINES = re.compile(r"^([ \t]*)\S.*", re.MULTILINE)


class Judge:
    """Compares the text between `before` and `after` a cursor with what it becomes when something is inserted."""

    def __init__(self, text: ParsedText, cursor: int) -> None:
        self._text, self._cursor = text, cursor
        self._before = text.source[:cursor].decode(errors="replace")
        self._line = self._before.rfind("\n") + 1
        self._start = len(text.source[: text.source.rfind(b"\n", 0, cursor) + 1].rstrip())
        self._end = time.thread_time() + _MOST_S
        self._allowed = self._faults_before()

    @property
    def knows(self) -> bool:
        """Whether anything can be said."""
        return self._allowed is not None

    @property
    def grammar(self) -> Grammar:
        return self._text.grammar

    @cached_property
    def opened(self) -> tuple[Opened, ...]:
        """What is open at the cursor, the innermost last."""
        return opened(self._before, self.grammar)

    def accepts(self, answer: str, whole: bool = False) -> bool:
        """Whether there are no more faults with `answer`, as it may go on or as a `whole`.

        True also if that cannot be judged.
        """
        if self._allowed is None:
            return True
        if whole:
            return any(len(found) <= self._allowed for found, _ in islice(self._continued(answer), 1))
        for found, _ in self._continued(answer):
            if len(found) <= self._allowed:
                return True
        if self._is_late():
            return True
        head = self._finished(answer)
        return head != answer and (not head.strip() or self.accepts(head))

    def _is_late(self) -> bool:
        return time.thread_time() > self._end

    def _faults_before(self) -> int | None:
        """The least number of faults in the text as the cursor's line may go on; None if it cannot be judged."""
        least = None
        for found, line_end in self._continued(""):
            if len(found) > _MOST_FAULTS:
                return None
            if not any(one.is_within(self._start - _NEAR, line_end + _NEAR) for one in found if not one.block):
                least = len(found) if least is None else min(least, len(found))
            if not any(one.is_within(self._start, line_end) for one in found):
                break
        return least

    def _continued(self, answer: str) -> Iterator[tuple[list[Fault], int]]:
        """For each ending of `answer`, the faults of the text with both, and the end of the line with that end."""
        for ending in islice(self._endings(answer), _MOST_ENDINGS):
            if self._is_late():
                return
            inserted = (answer + ending).encode(errors="replace")
            changed = self._text.with_inserted(self._cursor, inserted) if inserted else self._text
            line_end = changed.source.find(b"\n", self._cursor + len(inserted))
            line_end = len(changed.source) if line_end < 0 else line_end
            yield faults(changed, self._start, line_end), line_end

    def _endings(self, answer: str) -> Iterator[str]:
        yield ""
        lines = self._before[self._line :] + answer
        yield from islice(endings(lines, self._opened_with(answer), self._line, self.grammar), 1, None)

    def _opened_with(self, answer: str) -> tuple[Opened, ...]:
        return opened(answer, self.grammar, self.opened, len(self._before))

    def _finished(self, answer: str) -> str:
        """`answer` up to the line in which it opens something that it leaves open, or begins a definition."""
        size = len(self._before)
        starts = [one.position - size for one in self._opened_with(answer) if one.position >= size]
        if self.grammar.indents and starts and self._opened_with(answer)[-1].is_bracket:
            return answer
        if self.grammar.name == "ruby":
            starts += _open_block(self._before[self._line :] + answer, len(self._before) - self._line)
        elif self.grammar.family == "c":
            starts += [match.start() for match in _CONDITIONS.finditer(answer)]
        head = answer[: answer.rfind("\n", 0, min(starts)) + 1].rstrip() if starts else answer
        return _CONTINUED.sub("", head).rstrip()


def _open_block(text: str, before: int) -> list[int]:
    """Where the block begins that is open at the end of `text`, by its indentation, less `before`."""
    lines = list(_LINES.finditer(text))
    outer = [line for line in lines if len(line[1]) <= len(lines[0][1])] if lines else []
    return [] if not outer or outer[-1] is lines[-1] else [max(0, outer[-1].start() - before)]


def judge_at(before: str, after: str, grammar: Grammar, document: str = "") -> Judge | None:
    """The judge of what is inserted between two texts with LF line ends; None if the grammar is missing."""
    found = around_cursor(before, after, grammar, document)
    return None if found is None else Judge(*found)
