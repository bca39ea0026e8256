"""Trims an answer to what belongs at the cursor: it does not repeat the text that follows, and brackets balance."""

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
"""Lines below with fewer characters (a bracket, `end`) are too short to show that the answer repeats them."""
_NONBLANK_LINE = re.compile(r"(?<=[\r\n])[^\S\r\n]*+\S[^\r\n]*")
"""A line other than the first that is not blank."""


def trim(text: str, snapshot: Snapshot) -> str | Withheld:
    """The part of `text` to insert at the cursor, with LF line ends, or why there is none."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        return Withheld.EMPTY
    after = snapshot.line_after.rstrip()
    text = _without_following_lines(text, snapshot)
    if after:
        text = without_overlap(text, after, snapshot)
    # trailing whitespace matters where the line continues after the cursor
    text = text.rstrip("\n") if after else text.rstrip()
    return text if text.strip() else Withheld.REPEATS


def once(text: str) -> str | Withheld:
    """`text` unchanged or, if it ends in a loop, cut after the first repetition.

    The cut is the first one there that leaves no word, bracket or string open. Withheld.LOOP if there is none, or if
    what is repeated has no letter.
    """
    if (loop := _LOOP.search(text)) is None:
        return text
    start, end = loop.span(1)
    cuts = range(end, 2 * end - start) if _LETTER.search(loop[1]) else range(0)
    return next((text[:cut] for cut in cuts if _is_complete(text, cut)), Withheld.LOOP)


def _is_complete(text: str, cut: int) -> bool:
    """Whether a word, bracket or string ends at `cut` and nothing is left open."""
    ends = _END.search(text[:cut]) and not _INSIDE.match(text, cut - 1)
    return bool(ends) and _is_balanced(text[:cut])


def _without_following_lines(text: str, snapshot: Snapshot) -> str:
    """Cuts the answer where it continues with the lines below the cursor.

    Two lines must agree, or one if the answer ends with it. The answer's first line counts on an empty line only. A
    short line below, such as a bracket, counts where the answer has nothing that it could close.
    """
    lines_below = _NONBLANK_LINE.finditer(snapshot.suffix, len(snapshot.line_after))
    below = [match.group().rstrip() for match in islice(lines_below, 2)]
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
    """Whether `kept` opens what the line `closing` closes: a bracket, or a block if `closing` is a word."""
    if closing[0] in PAIRS:
        line = Surroundings(snapshot)
        return depth(kept, line.kinds(kept)[len(line.before) :])[closing[0]] > 0
    widths = [indentation(line) for line in f"{snapshot.line_before}{kept}".split("\n") if line.strip()]
    return any(next_ > width for width, next_ in pairwise(widths))


def _is_balanced(text: str) -> bool:
    """Whether `text` leaves no bracket and no quote open."""
    return all(text.count(opener) <= text.count(closer) for closer, opener in PAIRS.items()) and all(
        text.count(quote) % 2 == 0 for quote in _QUOTES
    )
