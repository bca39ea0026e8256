"""Cuts windows and holes out of source files, like those that an editor produces.

Causal masking as in the InCoder paper (Fried et al., 2022, arXiv 2204.05999), with the extra sentinel that means "more
text follows". Most samples are anchored and suffix-first: the suffix, the text before the hole's line, a mark, and then
the line from its start to the end of the hole. The cursor's position in that line need not be sampled: one such text
teaches all positions at once. Its words are tokenized like the file's other words, because a prompt heals the word at
the cursor (`lacuna_inference.prompt.planner`). The mark announces that an end must come; without one, a small model did
not learn to end a hole. The other samples put the mark at the cursor and tokenize the parts separately, so that the
model can also continue a partial word.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

HOLE_SHARE = 0.87
HEADER_SHARE = 0.5
ANCHORED_SHARE = 0.9
_MIN_WINDOW_SHARE = 0.3
"""Lengths are sampled between this share of the window and all of it, short ones more often, so that many holes fit
into a batch."""
_KINDS = {"line": 36, "span": 16, "lines": 28, "block": 15, "empty": 5}


@dataclass(frozen=True, slots=True)
class Sample:
    """One training text. For plain left-to-right text, `middle` is None and `prefix` is the text.

    A mark separates `prefix` and `middle`.
    """

    header: str
    prefix: str
    suffix: str = ""
    middle: str | None = None


def sample(text: str, name: str, window: int, rng: random.Random) -> Sample:
    """A window of at most about `window` code points of `text`, usually with a hole."""
    header = f"<| file ext=.py filename={name} |>\n" if rng.random() < HEADER_SHARE else ""
    size = int(window * _MIN_WINDOW_SHARE ** rng.random())
    text = _window(text, max(40, size - len(header)), rng)
    if rng.random() >= HOLE_SHARE:
        return Sample(header, text)
    start, end = hole(text, rng)
    if rng.random() < ANCHORED_SHARE:
        start = text.rfind("\n", 0, start) + 1
    return Sample(header, text[:start], text[end:], text[start:end])


def hole(text: str, rng: random.Random) -> tuple[int, int]:
    """Start and end of a random hole, in code points."""
    kind = rng.choices(list(_KINDS), weights=list(_KINDS.values()))[0]
    line_start, line_end = _line(text, rng)
    content = line_start + len(text[line_start:line_end]) - len(text[line_start:line_end].lstrip())
    start = rng.choice((line_start, content, rng.randint(content, max(content, line_end - 1))))
    if kind == "span":
        return start, min(len(text), start + int(rng.expovariate(1 / 30)) + 1)
    if kind == "empty":
        return (at := rng.randint(content, line_end)), at
    if kind == "line":
        return start, line_end
    if kind == "lines":
        return start, _after_lines(text, line_end, rng.randint(1, 5))
    return _block(text, line_end, content - line_start)


def _window(text: str, size: int, rng: random.Random) -> str:
    """About `size` code points that begin at a line start; every position of the file is equally likely."""
    if len(text) <= size:
        return text
    start = rng.randrange(-size // 2, len(text) - size // 2)
    if start <= 0:
        return text[:size]
    following = text.find("\n", start, len(text) - 1)
    start = (following if following >= 0 else text.rfind("\n", 0, start)) + 1  # otherwise in the last line
    return text[start : start + size]


def _line(text: str, rng: random.Random) -> tuple[int, int]:
    """Start and end (before the line break) of a random line; rarely a blank one, and later ones more often."""
    start = end = 0
    for _ in range(8):
        start = text.rfind("\n", 0, int(len(text) * rng.random() ** 0.7)) + 1
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
    """From the end of a line through the following lines that are indented deeper, or equally if none is deeper."""
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
