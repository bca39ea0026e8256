"""Bridges to the end of a line: what other lines of the file have where the hole's line breaks off.

Code repeats single lines in places that are not alike (`return self`, `except OSError:`, `args = parser.parse_args()`),
so nothing has to agree but the line's indentation and what was typed of it; what else agrees is counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np

from lacuna_inference.in_file.candidates.candidate import FillCandidate, Kind
from lacuna_inference.in_file.candidates.copied import COMPARED, MAX_FILL_CODE_POINTS, agreeing, code_points

MAX_CODE_POINTS_BEFORE, MAX_CODE_POINTS_AFTER = 100_000, 50_000
"""Code points on each side of the hole that are looked at."""
_LINES, _KEPT = 400, 64
"""The nearest lines on each side that are looked at, and the likeliest of all of them."""


def listed(before: str, after: str) -> list[FillCandidate]:
    """The rests of lines that begin as the hole's, if it ends with its line; a text may come more than once."""
    line = before[before.rfind("\n") + 1 :]
    if len(line) > MAX_FILL_CODE_POINTS or after.split("\n", 1)[0].strip():
        return []
    before, after = before[-MAX_CODE_POINTS_BEFORE:], after[:MAX_CODE_POINTS_AFTER]
    found = [
        *_within(before[: len(before) - len(line)], line, before, after, above=True),
        *_within(after, line, before, after, above=False),
    ]
    return sorted(found, key=_likelihood, reverse=True)[:_KEPT]


def _within(text: str, line: str, before: str, after: str, *, above: bool) -> Iterator[FillCandidate]:
    matches = list(re.finditer(rf"^{re.escape(line)}(?=\S)[^\n]{{1,{MAX_FILL_CODE_POINTS}}}$", text, re.MULTILINE))
    matches = matches[-_LINES:] if above else matches[:_LINES]
    if not matches:
        return
    starts = np.array([match.start() + len(line) for match in matches], np.int64)
    ends = np.array([match.end() for match in matches], np.int64)
    these = code_points(text)
    agreed_before = agreeing(these[::-1], len(text) - starts, code_points(before[-COMPARED:])[::-1]) - len(line)
    agreed_after = agreeing(these, ends, code_points(after[:COMPARED]))
    away = len(text) - starts if above else starts
    for match, *counts in zip(matches, agreed_before.tolist(), agreed_after.tolist(), away.tolist(), strict=True):
        far_before, far_after, far_off = counts
        rest = match.group()[len(line) :].rstrip()
        yield FillCandidate(Kind.LISTED, rest, max(0, far_before), far_after, 0, far_off, above)


def _likelihood(bridge: FillCandidate) -> float:
    """Roughly; only to leave out the hopeless ones."""
    return math.log((1 + bridge.before) * (1 + bridge.after)) - 0.2 * math.log(20 + bridge.away)
