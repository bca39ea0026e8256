"""A text that may fill a hole, with the evidence for it."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """How the surroundings of the text compare to those of the hole."""

    COPIED = 0
    """Both sides equal the hole's, character for character (`copied.py`)."""
    RENAMED = 1
    """Both sides equal the hole's except for names, which are replaced in the text (`renamed.py`)."""
    LISTED = 2
    """The rest of a line that begins like the hole's, whatever precedes and follows that line (`listed.py`)."""


class FillCandidate(NamedTuple):
    """A text and how well its surroundings agree with the hole's.

    `before` and `after` count what agrees on each side. `same` counts what is identical, for RENAMED, where agreement
    is weaker than identity. `away` is the distance to the hole. All are in tokens for RENAMED and in code points for
    the others. `above` is whether the text precedes the hole.
    """

    kind: Kind
    text: str
    before: int
    after: int
    same: int
    away: int
    above: bool
