"""Somebody who types: the keys of a session, with human gaps, as edits of a document.

Gaps between keys have 45, 92 and 248 ms at the 10th, 50th and 90th percentile, as measured on programmers.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lacuna_lab.evaluation.files import SourceFile

MEDIAN_S, LOW_S, HIGH_S = 0.092, 0.045, 0.248
_TENTH = 1.2816
"""Standard deviations from the median to the 10th or 90th percentile."""
RUN_LINES = 4
"""Lines that are typed before the cursor jumps elsewhere."""
_TYPO, _ACCEPTED = 0.02, 0.04
_LETTERS = "etaoinsr_"


@dataclass(frozen=True, slots=True)
class Key:
    """One edit: `deleted` code points at `start` give way to `inserted`. `text` and `cursor` are as after it."""

    gap_s: float
    start: int
    deleted: int
    inserted: str
    text: str
    cursor: int
    jumped: bool = False
    """The cursor came from elsewhere."""


@dataclass(frozen=True, slots=True)
class TypingTrace:
    """A file with some lines missing, and the keys that bring them back."""

    name: str
    text: str
    keys: tuple[Key, ...]


def typing_trace(file: SourceFile, runs: int, rng: random.Random) -> TypingTrace:
    """Types `runs` pieces of `file`, `RUN_LINES` lines each, in random places and order; then it is whole again."""
    pieces = ["".join(lines) for lines in batched(file.text.splitlines(keepends=True), RUN_LINES)]
    places = rng.sample(range(len(pieces)), min(runs, len(pieces)))
    here = [piece if number not in places else "" for number, piece in enumerate(pieces)]
    first = text = "".join(here)
    keys: list[Key] = []
    for place in places:
        at = sum(map(len, here[:place]))
        for number, (start, deleted, inserted, cursor) in enumerate(_edits(pieces[place], at, rng)):
            text = text[:start] + inserted + text[start + deleted :]
            keys.append(Key(gap(rng), start, deleted, inserted, text, cursor, jumped=number == 0))
        here[place] = pieces[place]
    return TypingTrace(file.name, first, tuple(keys))


def gap(rng: random.Random) -> float:
    """Seconds until the next key."""
    z = rng.gauss(0, 1)
    edge = LOW_S if z < 0 else HIGH_S
    return MEDIAN_S * math.exp(abs(z) / _TENTH * math.log(edge / MEDIAN_S))


def _edits(target: str, at: int, rng: random.Random) -> Iterator[tuple[int, int, str, int]]:
    """Start, deleted, inserted and cursor for each key that writes `target` at `at`.

    A line is opened first; then come letters, line ends with the indentation that editors add, typos and acceptances.
    """
    body = target.removesuffix("\n")
    if target != body:
        yield at, 0, "\n", at
    done = 0
    while done < len(body):
        here, rest = at + done, body[done:]
        if match := re.match(r"\n[ \t]*", rest):
            piece = match.group()
        elif rng.random() < _ACCEPTED:
            piece = rest.split("\n")[0]
        else:
            piece = rest[0]
            if piece.isalpha() and rng.random() < _TYPO:
                yield here, 0, rng.choice(_LETTERS.replace(piece, "")), here + 1
                yield here, 1, "", here
        done += len(piece)
        yield here, 0, piece, at + done


def batched(lines: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """`lines` in groups of `size`."""
    return (lines[start : start + size] for start in range(0, len(lines), size))
