"""Cuts windows and holes out of source files, as an editor makes them.

Causal masking as in the InCoder paper (Fried et al., 2022, arXiv 2204.05999), with the extra sentinel that says
"more text follows". In most samples the first part is empty and the text left of the hole is the beginning of the
masked span ("suffix first"): the hole then directly follows what stands before it, which a small model learns far
sooner, and typing only appends to the prompt. The parts are returned apart, because they are tokenised apart: a hole
then may begin inside a word, and the model learns to go on from a partial one.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

HOLE_SHARE = 0.65
HEADER_SHARE = 0.5
SUFFIX_FIRST_SHARE = 0.75
ANCHORED_SHARE = 0.3
_KINDS = {"rest of line": 36, "whole line": 12, "lines": 18, "block": 14, "span": 15, "empty": 5}


@dataclass(frozen=True, slots=True)
class Sample:
    """One training text. `middle` is None for plain left-to-right text, which then stands in `prefix`.

    `typed` is the beginning of the hole that the anchored prompt layout gives to the model; it is tokenised apart
    from `middle`. With `suffix_first` the suffix stands before the prefix.
    """

    header: str
    prefix: str
    suffix: str = ""
    typed: str = ""
    middle: str | None = None
    suffix_first: bool = False


def sample(text: str, name: str, window: int, rng: random.Random) -> Sample:
    """A window of about `window` characters of `text`, with a hole in most of them."""
    header = f"<| file ext=.py filename={name} |>\n" if rng.random() < HEADER_SHARE else ""
    text = _window(text, window - len(header), rng)
    if rng.random() >= HOLE_SHARE:
        return Sample(header, text)
    start, end = _hole(text, rng)
    if rng.random() < SUFFIX_FIRST_SHARE:
        return Sample(header, text[:start], text[end:], middle=text[start:end], suffix_first=True)
    line_start = text.rfind("\n", 0, start) + 1
    typed = ""
    if rng.random() < ANCHORED_SHARE:
        typed, start = text[line_start:start], line_start
    return Sample(header, text[:start], text[end:], typed, text[start + len(typed) : end])


def _window(text: str, size: int, rng: random.Random) -> str:
    """About `size` characters that begin at a line start; every place of the file is equally likely."""
    if len(text) <= size:
        return text
    start = rng.randrange(-size // 2, len(text) - size // 2)
    start = 0 if start <= 0 else text.find("\n", start) + 1
    return text[start : start + size]


def _hole(text: str, rng: random.Random) -> tuple[int, int]:
    """Start and end of a hole, in characters."""
    kind = rng.choices(list(_KINDS), weights=list(_KINDS.values()))[0]
    if kind == "span":
        start = rng.randrange(len(text))
        return start, min(len(text), start + int(rng.expovariate(1 / 40)) + 1)
    line_start, line_end = _line(text, rng)
    content = line_start + len(text[line_start:line_end]) - len(text[line_start:line_end].lstrip())
    if kind == "empty":
        at = line_end if rng.random() < 0.6 else rng.randint(content, line_end)
        return at, at
    if kind == "rest of line":
        return rng.randint(content, max(content, line_end - 1)), line_end
    if kind == "whole line":
        return rng.choice((line_start, content)), line_end
    if kind == "lines":
        start = rng.choice((line_start, content, rng.randint(content, line_end)))
        return start, _after_lines(text, line_end, rng.randint(1, 6))
    return _block(text, line_end, content - line_start)


def _line(text: str, rng: random.Random) -> tuple[int, int]:
    """Start and end (before the line break) of a random line; blank ones only rarely."""
    start = end = 0
    for _ in range(8):
        start = text.rfind("\n", 0, rng.randrange(len(text))) + 1
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if text[start:end].strip():
            break
    return start, end


def _after_lines(text: str, line_end: int, count: int) -> int:
    for _ in range(count):
        following = text.find("\n", line_end + 1)
        if following < 0:
            return len(text)
        line_end = following
    return line_end


def _block(text: str, line_end: int, indent: int) -> tuple[int, int]:
    """From the end of a line through the deeper (or, without any, equally deep) lines that follow it."""
    end = position = line_end
    deeper = None
    while (following := text.find("\n", position + 1)) > 0:
        line = text[position + 1 : following]
        if line.strip():
            depth = len(line) - len(line.lstrip())
            deeper = depth > indent if deeper is None else deeper
            if depth < indent + deeper:
                break
            end = following
        position = following
        if end - line_end > 600:
            break
    return line_end, end
