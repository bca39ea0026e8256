"""Where an answer meets the rest of the cursor's line, so that nothing stands there twice.

Editors close brackets and quotes as they are opened, and models write the whole line. The seam is the place in the
answer from which on it repeats what the line has already: what is kept must leave the rest of the line with the meaning
that it has now, a closing quote that still closes a string, a closing bracket that still has its partner.
"""

from __future__ import annotations

from itertools import chain, islice

from lacuna_server.core.lexing import CODE, COMMENT, ERROR, STRING, Surroundings
from lacuna_server.core.snapshot import Snapshot

PAIRS = {")": "(", "]": "[", "}": "{"}
_QUOTES = "\"'`"
_OPEN = STRING, ERROR, COMMENT
"""What a line's end is when a string or a comment is still open there."""
_NEUTRAL = "", "x"
"""Stand for an answer that changes nothing. Nothing at all brings a backslash before a quote; a letter is too much for
C's `'x'`."""
_PROBE = " x"
"""Put behind the line to see whether a string is still open there."""
_MAX_LEXED_CODE_POINTS, _MAX_TRIES, _MIN_TRIES = 6000, 32, 4
"""Characters that are lexed anew to try places, at some 2 ms a thousand, and how many places that are: this runs on the
event loop."""


def without_overlap(text: str, after: str, snapshot: Snapshot) -> str:
    """What of `text` belongs before `after`: the rest of the cursor's line, which is not empty and ends in no blank."""
    if after.lstrip()[0] not in text and not _ends_with_begin(text, after):
        return text
    seam = _Seam(text, after, snapshot)
    beyond = [place for place in range(len(text) - 1, -1, -1) if text.startswith(after, place)]
    overlaps = [*beyond, *(place for place in range(len(text)) if seam.overlaps(place))]
    closers = [place for place in range(len(text)) if seam.closes(place)]
    balanced = (place for place in (*overlaps, len(text), *closers) if seam.balances(place, exactly=True))
    loose = (place for place in (*overlaps, *closers) if seam.balances(place, exactly=False))
    tried = islice(chain(balanced, loose), seam.affordable)
    return text[: next((place for place in tried if seam.fits(place)), len(text))]


def depth(text: str, kinds: str, kind: str = CODE) -> dict[str, int]:
    """For each closing bracket how many more openers than closers `text` has, among its characters of `kind`."""
    found = "".join(sign for sign, its in zip(text, kinds, strict=True) if its == kind)
    return {closer: found.count(opener) - found.count(closer) for closer, opener in PAIRS.items()}


class _Seam:
    """Answers, for places in `text`, what would become of the line if the answer were cut there."""

    def __init__(self, text: str, after: str, snapshot: Snapshot) -> None:
        self._text, self._after = text, after
        self._line = Surroundings(snapshot)
        self._first = _first_sign(after)
        self._kinds = self._kinds_behind(text, "")
        self._rests = {self._kinds_of_rest(kept) for kept in _NEUTRAL}
        self._rest = self._kinds_of_rest(_NEUTRAL[-1])
        lead = len(after) - len(after.lstrip())
        self._kind = self._rest[lead]
        in_text = self._kind in _OPEN and self._first[0] not in _QUOTES
        self._is_broken = in_text or any(rest[-1] in _OPEN for rest in self._rests)
        self._is_prose = self._first[0] in _QUOTES and self._quote_means_nothing(lead + len(self._first))

    @property
    def affordable(self) -> int:
        """How many places may be tried."""
        line = len(self._line.before) + len(self._text) + len(self._after)
        return max(_MIN_TRIES, min(_MAX_TRIES, _MAX_LEXED_CODE_POINTS // line))

    def overlaps(self, place: int) -> bool:
        """Whether the answer ends, from `place` on, as the line goes on. A letter of a longer word is no overlap."""
        end, after = self._text[place:], self._after
        is_letter = len(end) == 1 < len(after) and (after[0].isalnum() or after[0] == "_")
        return after.startswith(end) and not is_letter

    def closes(self, place: int) -> bool:
        """Whether the line goes on with a bracket or a quote that stands at `place`, too."""
        if self._first[0] not in {*PAIRS, *_QUOTES} or not self._text.startswith(self._first, place):
            return False
        return not (self._is_prose and _is_apostrophe(self._text, place))

    def balances(self, place: int, exactly: bool) -> bool:
        """Whether `text` up to `place` leaves no bracket open, and in prose no quote.

        Unless `exactly`, it may close brackets that were open before the cursor.
        """
        kept = self._text[:place]
        kind = CODE if self._first[0] in _QUOTES else self._kind
        open_ = depth(kept, self._kinds[:place], kind).values()
        if any(open_) if exactly else any(number > 0 for number in open_):
            return False
        return not (self._is_prose and _pairing(kept, self._first) % 2)

    def fits(self, place: int) -> bool:
        """Whether `text` up to `place` leaves the rest of the line what it is or, if it is broken, makes it whole."""
        rest = self._kinds_of_rest(self._text[:place])
        return rest in self._rests or (self._is_broken and rest[-1] not in _OPEN)

    def _quote_means_nothing(self, end: int) -> bool:
        """Whether the line goes on with a quote that is none for the language: in a comment, in another string."""
        return not self._line.is_known or (self._kind != CODE and self._rest[end] == self._kind)

    def _kinds_of_rest(self, kept: str) -> str:
        return self._kinds_behind(kept, self._after + _PROBE)[len(kept) :]

    def _kinds_behind(self, kept: str, rest: str) -> str:
        return self._line.kinds(kept + rest)[len(self._line.before) :]


def _first_sign(after: str) -> str:
    """The first character that is no blank; three where three quotes stand there."""
    first = after.lstrip()[:3]
    return first if first[0] in _QUOTES and first == 3 * first[0] else first[0]


def _ends_with_begin(text: str, after: str) -> bool:
    return any(text.endswith(after[:length]) for length in range(1, min(len(text), len(after)) + 1))


def _pairing(text: str, quote: str) -> int:
    """How many of the signs `quote` in prose are no apostrophes."""
    return sum(sign == quote and not _is_apostrophe(text, place) for place, sign in enumerate(text))


def _is_apostrophe(text: str, place: int) -> bool:
    return text[place] == "'" and text[place - 1 : place].isalnum() and text[place + 1 : place + 2].isalnum()
