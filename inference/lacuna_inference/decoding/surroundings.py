"""What stands around a hole: what is open at the cursor, what the text below closes, and with which lines it goes on.

Everything is found when it is first asked for. The text above the cursor's line is read once for all keys typed there.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property, lru_cache
from itertools import islice

from lacuna_inference.decoding.syntax import CLOSERS, Scan, Syntax, open_brackets, syntax_of

_MAX_CODE_POINTS = 100_000
"""Code points that are read on either side of the cursor."""
_LINES_BELOW = 12
"""Lines after the cursor's that an answer may run into."""
_MIN_WORD_CHARACTERS = 9
"""Letters and digits of a line that can show by itself that the answer repeats it."""
_LONG = 20
"""Characters of a line that is hardly written twice in a row."""


class Surroundings:
    """The text before and after a cursor, and the path of its file."""

    def __init__(self, before: str, after: str, path: str | None) -> None:
        self.syntax = syntax_of(path)
        self._before, self._after = before[-_MAX_CODE_POINTS:], after[:_MAX_CODE_POINTS]
        self.line_before = before[before.rfind("\n") + 1 :]
        """The cursor's line up to the cursor."""
        self.rest = after.partition("\n")[0].rstrip()
        """The cursor's line from the cursor on, without blanks at its end."""

    @property
    def on_blank_line(self) -> bool:
        """Whether nothing but blanks is on the cursor's line."""
        return not self.line_before.strip() and not self.rest.strip()

    @cached_property
    def inside(self) -> str:
        """What opened the string or comment that the cursor is in; empty in code."""
        return self._read.inside

    @cached_property
    def closes_inside(self) -> bool:
        """Whether the text after the cursor closes that string or comment."""
        inside, after = self.inside, self._after
        if not inside:
            return False
        if self.syntax.spans_lines(inside):
            closer = self.syntax.closer(inside)
            if closer != inside:
                return 0 <= after.find(closer) < (after + inside).find(inside)
            return after.count(closer) % 2 == 1
        scan = self.syntax.scan(self.rest, inside)
        ends = scan.marks[0].position if scan.marks and scan.marks[0].ends else None
        if ends is None or self.rest.startswith(3 * inside, ends):
            return False  # the triple quote of a longer string is no end of this one
        return not self.syntax.is_string(scan.inside)

    @cached_property
    def closed_below(self) -> tuple[str, int]:
        """The first bracket that the text after the cursor closes without having opened it, empty if there is none;
        and how many brackets that are open at the cursor it leaves open, for the answer to close."""
        _, stack = open_brackets(self._read.marks)
        closing, _ = open_brackets(self.syntax.scan(self._after, self.inside if self.closes_inside else "").marks)
        for left_open in (max(0, len(stack) - len(closing)), *range(len(stack))):
            following = stack[len(stack) - left_open - 1 :: -1] if left_open < len(stack) else []
            if all(CLOSERS[closer] == opener for closer, opener in zip(closing, following, strict=False)):
                return (closing[0] if closing else ""), left_open
        return "", 0

    @cached_property
    def rest_closes(self) -> bool:
        """Whether the rest of the cursor's line closes brackets that it has not opened."""
        return bool(open_brackets(self.syntax.scan(self.rest, self.inside if self.closes_inside else "").marks)[0])

    @cached_property
    def lines_below(self) -> tuple[str, ...]:
        """The next lines after the cursor's that are not blank, without blanks at their ends."""
        start = self._after.find("\n") + 1
        lines = self._after[start:].split("\n", 8 * _LINES_BELOW) if start else []
        return tuple(islice((line.rstrip() for line in lines if line.strip()), _LINES_BELOW))

    def is_telling(self, line: str) -> bool:
        """Whether `line`, one of those below, is hardly there twice by chance: it is the next and long, or unique."""
        stripped = line.strip()
        if sum(map(str.isalnum, stripped)) < _MIN_WORD_CHARACTERS:
            return False
        is_next_and_long = len(stripped) >= _LONG and stripped == self.lines_below[0].strip()
        return is_next_and_long or self._occurrences[stripped] <= 1

    @cached_property
    def _occurrences(self) -> Counter[str]:
        return Counter(line.strip() for text in (self._before, self._after) for line in text.split("\n"))

    @cached_property
    def _read(self) -> Scan:
        """The scan of the text before the cursor."""
        above = self._before[: len(self._before) - len(self.line_before)]
        read = _scan_above(self.syntax, above)
        line = self.syntax.scan(self.line_before, read.inside)
        return Scan((*read.marks, *line.marks), line.inside)


@lru_cache(8)
def _scan_above(syntax: Syntax, above: str) -> Scan:
    return syntax.scan(above)
