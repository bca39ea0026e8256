"""Cuts an answer to what should stand at the cursor: no repetition of the text that follows, brackets that balance."""

from __future__ import annotations

import re
from itertools import islice

from lacuna_server.core.reasons import Withheld
from lacuna_server.core.snapshot import Snapshot

_PAIRS = {")": "(", "]": "[", "}": "{"}
_LOOP = re.compile(r"(?=.{0,60}\w)(.{2,60}?)\1{3,}.{0,60}$", re.DOTALL)
_LETTER = re.compile(r"[^\W\d_]")
_END, _INSIDE = re.compile(r"[\w)\]}\"']$"), re.compile(r"\w[\w\"']")
_QUOTES = "\"'"
_FILLED_LINE = re.compile(r"(?<=[\r\n])[^\S\r\n]*+\S[^\r\n]*")
"""A line that is not the first, with more than blanks in it."""


def trim(text: str, snapshot: Snapshot) -> str | Withheld:
    """What of `text` is to be inserted at the cursor, with `\\n` as line end; or why nothing is."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        return Withheld.EMPTY
    after = snapshot.line_after.rstrip()
    text = _without_following_lines(text, snapshot)
    if after:
        text = _without_overlap(_without_stray_closer(text, after), after)
    # a blank before text that goes on in the line is part of the code
    text = text.rstrip("\n") if after else text.rstrip()
    return text if text.strip() else Withheld.REPEATS


def once(text: str) -> str | Withheld:
    """`text` as it is, or its first round when it goes round in a circle, as of a model that has lost its way.

    The cut is the first behind a round where no word, bracket or string is open; Withheld.LOOP if there is none, or if
    the rounds have no letter.
    """
    if (found := _LOOP.search(text)) is None:
        return text
    start, end = found.span(1)
    cuts = range(end, 2 * end - start) if _LETTER.search(found[1]) else range(0)
    return next((text[:cut] for cut in cuts if _ended(text, cut)), Withheld.LOOP)


def _ended(text: str, cut: int) -> bool:
    """Whether something ends at `cut`, with nothing left open."""
    ends = _END.search(text[:cut]) and not _INSIDE.match(text, cut - 1)
    return bool(ends) and _balanced(text[:cut])


def _without_following_lines(text: str, snapshot: Snapshot) -> str:
    """Cuts where the answer goes on with the lines that stand below the cursor anyway.

    Two lines must agree, or one when the answer ends with it. The answer's first line counts on an empty line only.
    """
    lines_below = _FILLED_LINE.finditer(snapshot.suffix, len(snapshot.line_after))
    below = [found.group().rstrip() for found in islice(lines_below, 2)]
    if len("".join(below)) < 4:
        return text
    lines = text.split("\n")
    compared = [snapshot.line_before + lines[0], *lines[1:]]
    for number in range(1 if snapshot.line_before.strip() else 0, len(lines)):
        following = [line.rstrip() for line in compared[number:] if line.strip()]
        if following and following[:2] == below[: len(following)]:
            return "\n".join(lines[:number])
    return text


def _without_stray_closer(text: str, after: str) -> str:
    """Cuts before the first closing bracket that the answer did not open and that the line brings itself."""
    closer = after.lstrip()[0]
    if closer not in _PAIRS:
        return text
    depth, quote = 0, ""
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in _QUOTES:
            quote = sign
        elif sign in _PAIRS.values():
            depth += 1
        elif sign in _PAIRS:
            if depth == 0 and sign == closer:
                return text[:place]
            depth -= 1
    return text


def _without_overlap(text: str, after: str) -> str:
    """Cuts the longest end of the answer that the rest of the cursor's line repeats, if what is kept is balanced.

    One letter of several signs is no overlap: `value` before `end=` does not end with `e` by repetition.
    """
    for length in range(min(len(text), len(after)), 0, -1):
        word = length == 1 < len(after) and (after[0].isalnum() or after[0] == "_")
        if text.endswith(after[:length]) and not word and _balanced(text[: len(text) - length]):
            return text[: len(text) - length]
    return text


def _balanced(text: str) -> bool:
    """Whether `text` leaves no bracket and no quote open."""
    return all(text.count(opener) <= text.count(closer) for closer, opener in _PAIRS.items()) and all(
        text.count(quote) % 2 == 0 for quote in _QUOTES
    )
