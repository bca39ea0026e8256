"""Cuts an answer to what should stand at the cursor: no repetition of the text that follows, brackets that balance."""

from __future__ import annotations

import re
from itertools import islice, pairwise

from lacuna_inference.text import indentation
from lacuna_server.core.lexing import Surroundings
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.seam import PAIRS, depth, without_overlap
from lacuna_server.core.snapshot import Snapshot

_LOOP = re.compile(r"(?=.{0,60}\w)(.{2,60}?)\1{3,}.{0,60}$", re.DOTALL)
_LETTER = re.compile(r"[^\W\d_]")
_END, _INSIDE = re.compile(r"[\w)\]}\"']$"), re.compile(r"\w[\w\"']")
_QUOTES = "\"'"
_SHORT = 4
"""Characters of lines below that are too few to tell that the answer repeats them: a bracket, `end`."""
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
        text = without_overlap(text, after, snapshot)
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

    Two lines must agree, or one when the answer ends with it. The answer's first line counts on an empty line only. A
    short line below, such as a bracket, counts where the answer has nothing that it could close.
    """
    lines_below = _FILLED_LINE.finditer(snapshot.suffix, len(snapshot.line_after))
    below = [found.group().rstrip() for found in islice(lines_below, 2)]
    if not below:
        return text
    lines = text.split("\n")
    compared = [snapshot.line_before + lines[0], *lines[1:]]
    is_short = len("".join(below)) < _SHORT
    for number in range(1 if snapshot.line_before.strip() else 0, len(lines)):
        following = [line.rstrip() for line in compared[number:] if line.strip()]
        kept = "\n".join(lines[:number])
        if is_short or below[0].strip() in PAIRS:
            if following and following[0] == below[0] and not _opens(kept, below[0].strip(), snapshot):
                return kept
        elif following and following[:2] == below[: len(following)]:
            return kept
    return text


def _opens(kept: str, closing: str, snapshot: Snapshot) -> bool:
    """Whether `kept` has an open bracket for the line `closing`; a block, where that is a word."""
    if closing[0] in PAIRS:
        line = Surroundings(snapshot)
        return depth(kept, line.kinds(kept)[len(line.before) :])[closing[0]] > 0
    widths = [indentation(line) for line in f"{snapshot.line_before}{kept}".split("\n") if line.strip()]
    return any(next_ > width for width, next_ in pairwise(widths))


def _balanced(text: str) -> bool:
    """Whether `text` leaves no bracket and no quote open."""
    return all(text.count(opener) <= text.count(closer) for closer, opener in PAIRS.items()) and all(
        text.count(quote) % 2 == 0 for quote in _QUOTES
    )
