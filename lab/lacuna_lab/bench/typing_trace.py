"""A synthetic typing session: keystrokes as edits of a document, with human gaps between them.

Gaps between keystrokes have 45, 92 and 248 ms at the 10th, 50th and 90th percentile, as measured on programmers.
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
"""Lines that are typed before the cursor jumps."""
_TYPO_SHARE, _ACCEPTED_SHARE = 0.02, 0.04
_LETTERS = "etaoinsr_"


@dataclass(frozen=True, slots=True)
class Key:
    """One edit: `inserted` replaces `deleted` code points at `start`. `text` and `cursor` are those after it."""

    gap_s: float
    start: int
    deleted: int
    inserted: str
    text: str
    cursor: int
    jumped: bool = False
    """The cursor jumped before this keystroke."""


@dataclass(frozen=True, slots=True)
class TypingTrace:
    """A file with some lines missing, and the keystrokes that restore them."""

    name: str
    text: str
    keys: tuple[Key, ...]


def typing_trace(file: SourceFile, runs: int, rng: random.Random) -> TypingTrace:
    """Removes `runs` random blocks of `RUN_LINES` lines from `file` and types them again, in random order."""
    blocks = ["".join(lines) for lines in batched(file.text.splitlines(keepends=True), RUN_LINES)]
    removed = rng.sample(range(len(blocks)), min(runs, len(blocks)))
    current = [block if index not in removed else "" for index, block in enumerate(blocks)]
    first = text = "".join(current)
    keys: list[Key] = []
    for index in removed:
        at = sum(map(len, current[:index]))
        for number, (start, deleted, inserted, cursor) in enumerate(_edits(blocks[index], at, rng)):
            text = text[:start] + inserted + text[start + deleted :]
            keys.append(Key(gap(rng), start, deleted, inserted, text, cursor, jumped=number == 0))
        current[index] = blocks[index]
    return TypingTrace(file.name, first, tuple(keys))


def gap(rng: random.Random) -> float:
    """Random seconds until the next keystroke."""
    z = rng.gauss(0, 1)
    edge = LOW_S if z < 0 else HIGH_S
    return MEDIAN_S * math.exp(abs(z) / _TENTH * math.log(edge / MEDIAN_S))


def _edits(target: str, at: int, rng: random.Random) -> Iterator[tuple[int, int, str, int]]:
    """Start, deleted, inserted and cursor for each keystroke that writes `target` at `at`.

    Opens a new line, then types characters, line ends with the indentation that editors add, typos with their
    corrections, and whole rests of a line, as accepting a suggestion does.
    """
    body = target.removesuffix("\n")
    if target != body:
        yield at, 0, "\n", at
    done = 0
    while done < len(body):
        position, rest = at + done, body[done:]
        if match := re.match(r"\n[ \t]*", rest):
            typed = match.group()
        elif rng.random() < _ACCEPTED_SHARE:
            typed = rest.split("\n")[0]
        else:
            typed = rest[0]
            if typed.isalpha() and rng.random() < _TYPO_SHARE:
                yield position, 0, rng.choice(_LETTERS.replace(typed, "")), position + 1
                yield position, 1, "", position
        done += len(typed)
        yield position, 0, typed, at + done


def batched(lines: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """`lines` in groups of `size`."""
    return (lines[start : start + size] for start in range(0, len(lines), size))
