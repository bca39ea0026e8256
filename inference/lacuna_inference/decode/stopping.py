"""Where the text of a hole ends, besides the model's own end: rules over text, free of tokens and models."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence

import regex

from lacuna_inference.api import Stop, StopReason
from lacuna_inference.errors import BadRequest
from lacuna_inference.text import indentation

PATTERNS_S = 0.25
"""Seconds that all patterns of a request may take over a text: there are some that would take for ever."""


def text_stop(text: str, stop: Stop) -> tuple[int, StopReason] | None:
    """Where to cut `text` (in code points) and why, or None to go on."""
    found = [place for place in (*_line_stops(text, stop), _stop_string(text, stop.strings)) if place is not None]
    return min(found, default=None)


def certain(text: str, stop: Stop) -> int:
    """How many code points of `text`, at whose end more will be written, no rule can take away any more."""
    if stop.truncate_before is not None:
        return 0
    end = len(text.rstrip()) if stop.dedent_below or stop.max_lines else len(text)
    for string in stop.strings:
        begun = next((n for n in range(min(len(string) - 1, len(text)), 0, -1) if text.endswith(string[:n])), 0)
        end = min(end, len(text) - begun)
    return end


def truncate_before(text: str, patterns: Sequence[str]) -> str:
    """CodeGen's `truncate_before_pattern`: `text` up to the earliest match of any of the regular expressions.

    As in its tokenizer, the text is first cut before a second line that begins with `print` and before a second one
    that begins with `def`: made for answers of one function, and therefore never used unless asked for.
    Raises BadRequest for a pattern that is none, or that takes too long.
    """
    for statement in ("print", "def"):
        lines = list(re.finditer(f"^{statement}", text, re.MULTILINE))
        if len(lines) > 1:
            text = text[: lines[1].start()]
    until = time.monotonic() + PATTERNS_S
    starts = [start for pattern in patterns if (start := _first_match(pattern, text, until)) is not None]
    return text[: min(starts)] if starts else text


def _first_match(pattern: str, text: str, until: float) -> int | None:
    """Where `pattern` first matches; other threads go on meanwhile."""
    try:
        left = max(0.001, until - time.monotonic())
        match = regex.search(pattern, text, regex.MULTILINE, timeout=left, concurrent=True)
    except TimeoutError:
        raise BadRequest(f"The pattern {pattern!r} takes too long.", "Choose a simpler one.") from None
    except (regex.error, RecursionError, OverflowError) as error:
        raise BadRequest(f"{pattern!r} is no regular expression: {error}.", "Mend or remove it.") from None
    return match.start() if match else None


def _line_stops(text: str, stop: Stop) -> Iterator[tuple[int, StopReason] | None]:
    if stop.single_line:
        newline = text.find("\n")
        yield None if newline < 0 else (newline, StopReason.NEWLINE)
    else:
        yield _dedent(text, stop.dedent_below)
        yield _too_many_lines(text, stop.max_lines)


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


def _stop_string(text: str, strings: Sequence[str]) -> tuple[int, StopReason] | None:
    places = [place for string in strings if string and (place := text.find(string)) >= 0]
    return (min(places), StopReason.STOP_STRING) if places else None


def _too_many_lines(text: str, limit: int | None) -> tuple[int, StopReason] | None:
    if limit is None:
        return None
    position = -1
    for _ in range(limit):
        position = text.find("\n", position + 1)
        if position < 0:
            return None
    return position, StopReason.MAX_LINES
