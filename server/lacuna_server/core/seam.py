"""Joins an answer to the rest of the cursor's line, so that no text appears twice.

Editors close brackets and quotes as they are opened, and models write the whole line. The seam is the position in the
answer from which it repeats what the line has already. The kept part must not change the meaning of the rest of the
line: a closing quote must still close a string, a closing bracket must still have its opener.
"""

from __future__ import annotations

from itertools import chain, islice

from lacuna_server.core.lexing import CODE, COMMENT, ERROR, STRING, Surroundings
from lacuna_server.core.snapshot import Snapshot

PAIRS = {")": "(", "]": "[", "}": "{"}
_QUOTES = "\"'`"
_OPEN = STRING, ERROR, COMMENT
"""Kinds at a line's end where a string or a comment is still open."""
_NEUTRAL = "", "x"
"""Answers that change nothing. Two, because the empty one may put a backslash before a quote, and a letter is too much
for C's `'x'`."""
_PROBE = " x"
"""Appended to the line to see whether a string is still open at its end."""
_MAX_LEXED_CODE_POINTS, _MAX_TRIES, _MIN_TRIES = 6000, 32, 4
"""Limits on the code points that are lexed again to try positions, at some 2 ms a thousand, and on the positions: this
runs on the event loop."""


def without_overlap(text: str, after: str, snapshot: Snapshot) -> str:
    """The part of `text` to insert before `after`, the rest of the cursor's line.

    `after` must not be empty nor end in whitespace.
    """
    if after.lstrip()[0] not in text and not _ends_with_start_of(text, after):
        return text
    seam = _Seam(text, after, snapshot)
    whole = [position for position in range(len(text) - 1, -1, -1) if text.startswith(after, position)]
    overlaps = [*whole, *(position for position in range(len(text)) if seam.overlaps(position))]
    closers = [position for position in range(len(text)) if seam.closes(position)]
    balanced = (position for position in (*overlaps, len(text), *closers) if seam.balances(position, exactly=True))
    loose = (position for position in (*overlaps, *closers) if seam.balances(position, exactly=False))
    tried = islice(chain(balanced, loose), seam.max_tries)
    return text[: next((position for position in tried if seam.fits(position)), len(text))]


def depth(text: str, kinds: str, kind: str = CODE) -> dict[str, int]:
    """For each closing bracket, the openers less the closers among the characters of `kind` in `text`."""
    selected = "".join(character for character, its_kind in zip(text, kinds, strict=True) if its_kind == kind)
    return {closer: selected.count(opener) - selected.count(closer) for closer, opener in PAIRS.items()}


class _Seam:
    """What the line would become if the answer `text` were cut at a position."""

    def __init__(self, text: str, after: str, snapshot: Snapshot) -> None:
        self._text, self._after = text, after
        self._line = Surroundings(snapshot)
        self._first = _first_character(after)
        self._kinds = self._kinds_after_cursor(text, "")
        self._accepted_rests = {self._kinds_of_rest(kept) for kept in _NEUTRAL}
        self._rest = self._kinds_of_rest(_NEUTRAL[-1])
        lead = len(after) - len(after.lstrip())
        self._kind = self._rest[lead]
        in_text = self._kind in _OPEN and self._first[0] not in _QUOTES
        self._is_broken = in_text or any(rest[-1] in _OPEN for rest in self._accepted_rests)
        self._is_prose = self._first[0] in _QUOTES and self._quote_is_plain_text(lead + len(self._first))

    @property
    def max_tries(self) -> int:
        """How many positions may be tried."""
        line = len(self._line.before) + len(self._text) + len(self._after)
        return max(_MIN_TRIES, min(_MAX_TRIES, _MAX_LEXED_CODE_POINTS // line))

    def overlaps(self, position: int) -> bool:
        """Whether the line continues as the answer does from `position` to its end. A letter of a longer word does not
        count.
        """
        end, after = self._text[position:], self._after
        is_letter = len(end) == 1 < len(after) and (after[0].isalnum() or after[0] == "_")
        return after.startswith(end) and not is_letter

    def closes(self, position: int) -> bool:
        """Whether the line continues with a bracket or a quote and the answer has the same at `position`."""
        if self._first[0] not in {*PAIRS, *_QUOTES} or not self._text.startswith(self._first, position):
            return False
        return not (self._is_prose and _is_apostrophe(self._text, position))

    def balances(self, position: int, exactly: bool) -> bool:
        """Whether `text` up to `position` leaves no bracket open, and in prose no quote.

        Unless `exactly`, it may close brackets that were open before the cursor.
        """
        kept = self._text[:position]
        kind = CODE if self._first[0] in _QUOTES else self._kind
        depths = depth(kept, self._kinds[:position], kind).values()
        if any(depths) if exactly else any(number > 0 for number in depths):
            return False
        return not (self._is_prose and _count_quotes(kept, self._first) % 2)

    def fits(self, position: int) -> bool:
        """Whether `text` up to `position` keeps the meaning of the rest of the line or, if that is broken, completes
        it.
        """
        rest = self._kinds_of_rest(self._text[:position])
        return rest in self._accepted_rests or (self._is_broken and rest[-1] not in _OPEN)

    def _quote_is_plain_text(self, end: int) -> bool:
        """Whether the quote that follows has no meaning to the language, as in a comment or in another string."""
        return not self._line.is_known or (self._kind != CODE and self._rest[end] == self._kind)

    def _kinds_of_rest(self, kept: str) -> str:
        return self._kinds_after_cursor(kept, self._after + _PROBE)[len(kept) :]

    def _kinds_after_cursor(self, kept: str, rest: str) -> str:
        return self._line.kinds(kept + rest)[len(self._line.before) :]


def _first_character(after: str) -> str:
    """The first character that is not whitespace; all three of a triple quote."""
    first = after.lstrip()[:3]
    return first if first[0] in _QUOTES and first == 3 * first[0] else first[0]


def _ends_with_start_of(text: str, after: str) -> bool:
    return any(text.endswith(after[:length]) for length in range(1, min(len(text), len(after)) + 1))


def _count_quotes(text: str, quote: str) -> int:
    """How many characters of the prose `text` are `quote`, apostrophes not counted."""
    return sum(character == quote and not _is_apostrophe(text, i) for i, character in enumerate(text))


def _is_apostrophe(text: str, index: int) -> bool:
    return text[index] == "'" and text[index - 1 : index].isalnum() and text[index + 1 : index + 2].isalnum()
