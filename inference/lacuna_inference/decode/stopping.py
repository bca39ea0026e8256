"""Where the text of a hole ends, besides the model's own end: rules over text, free of tokens and models."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lacuna_inference.api import Stop, StopReason
from lacuna_inference.text import indentation


def text_stop(text: str, stop: Stop) -> tuple[int, StopReason] | None:
    """Where to cut `text` (in code points) and why, or None to go on."""
    if stop.single_line:
        newline = text.find("\n")
        return None if newline < 0 else (newline, StopReason.NEWLINE)
    found = [
        place
        for place in (_dedent(text, stop.dedent_below), _too_many_lines(text, stop.max_lines))
        if place is not None
    ]
    return min(found, default=None)


def truncate_before(text: str, patterns: Sequence[str]) -> str:
    """CodeGen's `truncate_before_pattern`: `text` up to the earliest match of any of the regular expressions.

    As in its tokenizer, the text is first cut before a second line that begins with `print` and before a second one
    that begins with `def`: made for answers of one function, and therefore never used unless asked for.
    """
    for statement in ("print", "def"):
        lines = list(re.finditer(f"^{statement}", text, re.MULTILINE))
        if len(lines) > 1:
            text = text[: lines[1].start()]
    starts = [match.start() for pattern in patterns if (match := re.search(pattern, text, re.MULTILINE))]
    return text[: min(starts)] if starts else text


def _dedent(text: str, below: int | None) -> tuple[int, StopReason] | None:
    """Cuts before the first line, not counting the first, whose first sign stands left of column `below`."""
    if not below:
        return None
    start = text.find("\n") + 1
    while start:
        end = text.find("\n", start)
        line = text[start:] if end < 0 else text[start:end]
        if line.strip() and indentation(line) < below:
            return len(text[:start].rstrip()), StopReason.DEDENT
        start = end + 1
    return None


def _too_many_lines(text: str, limit: int | None) -> tuple[int, StopReason] | None:
    if limit is None:
        return None
    position = -1
    for _ in range(limit):
        position = text.find("\n", position + 1)
        if position < 0:
            return None
    return position, StopReason.MAX_LINES
