"""One text that may fill a hole, with what speaks for it."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """Where such a text stands in the file."""

    COPIED = 0
    """Between sides that are the hole's, sign for sign (`copied.py`)."""
    RENAMED = 1
    """Between sides that are alike but for names, which are replaced in it (`renamed.py`)."""
    LISTED = 2
    """From the hole's column to its line's end, whatever stands before and behind that line (`listed.py`)."""


class FillCandidate(NamedTuple):
    """`before` and `after` count what agrees on each side, `same` what is the very same where that is more than to
    agree, `away` how far off it stands: in tokens for RENAMED, in code points for the others. `above` the hole or not.
    """

    kind: Kind
    text: str
    before: int
    after: int
    same: int
    away: int
    above: bool
