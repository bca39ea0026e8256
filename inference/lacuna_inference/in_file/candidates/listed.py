"""Listed fill candidates: how other lines of the file go on where the hole's line breaks off.

Code repeats single lines in surroundings that differ (`return self`, `except OSError:`, `args = parser.parse_args()`).
So only the line's indentation and its typed part must agree; what else agrees is counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np

from lacuna_inference.in_file.candidates.candidate import FillCandidate, Kind
from lacuna_inference.in_file.candidates.copied import COMPARED, MAX_FILL_CODE_POINTS, agreeing, code_points

MAX_CODE_POINTS_BEFORE, MAX_CODE_POINTS_AFTER = 100_000, 50_000
"""Code points searched on each side of the hole."""
_MAX_LINES, _MAX_CANDIDATES = 400, 64
"""The nearest lines considered on each side, and the best candidates kept of both sides."""


def listed(before: str, after: str) -> list[FillCandidate]:
    """The rest of each line that begins like the hole's, if the hole ends its line. A text may occur more than once."""
    line = before[before.rfind("\n") + 1 :]
    if len(line) > MAX_FILL_CODE_POINTS or after.split("\n", 1)[0].strip():
        return []
    before, after = before[-MAX_CODE_POINTS_BEFORE:], after[:MAX_CODE_POINTS_AFTER]
    candidates = [
        *_within(before[: len(before) - len(line)], line, before, after, above=True),
        *_within(after, line, before, after, above=False),
    ]
    return sorted(candidates, key=_likelihood, reverse=True)[:_MAX_CANDIDATES]


def _within(text: str, line: str, before: str, after: str, *, above: bool) -> Iterator[FillCandidate]:
    matches = list(re.finditer(rf"^{re.escape(line)}(?=\S)[^\n]{{1,{MAX_FILL_CODE_POINTS}}}$", text, re.MULTILINE))
    matches = matches[-_MAX_LINES:] if above else matches[:_MAX_LINES]
    if not matches:
        return
    starts = np.array([match.start() + len(line) for match in matches], np.int64)
    ends = np.array([match.end() for match in matches], np.int64)
    points = code_points(text)
    agreed_before = agreeing(points[::-1], len(text) - starts, code_points(before[-COMPARED:])[::-1]) - len(line)
    agreed_after = agreeing(points, ends, code_points(after[:COMPARED]))
    away = len(text) - starts if above else starts
    for match, *counts in zip(matches, agreed_before.tolist(), agreed_after.tolist(), away.tolist(), strict=True):
        n_before, n_after, distance = counts
        rest = match.group()[len(line) :].rstrip()
        yield FillCandidate(Kind.LISTED, rest, max(0, n_before), n_after, 0, distance, above)


def _likelihood(candidate: FillCandidate) -> float:
    """A rough score, used only to drop hopeless candidates."""
    return math.log((1 + candidate.before) * (1 + candidate.after)) - 0.2 * math.log(20 + candidate.away)
