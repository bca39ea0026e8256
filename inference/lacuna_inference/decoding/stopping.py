"""Stop rules: where the text of a hole ends before the model ends it. They know neither tokens nor models."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence

import regex

from lacuna_inference.api import Stop, StopReason
from lacuna_inference.errors import BadRequest
from lacuna_inference.text import indentation

PATTERNS_S = 0.25
"""Time limit for matching all patterns of a request, in seconds: some patterns would take forever."""

Cut = tuple[int, StopReason]
"""Where to cut a text, in code points, and why."""


class TextStop:
    """Finds the end of a text that grows token by token; checks only what is new."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._seen = 0
        self._lines = 0
        """Line ends in the text seen so far."""
        self._blank_line_start: int | None = None
        """Where the current line begins while it is blank; None once its indentation was checked."""

    def find(self, text: str) -> Cut | None:
        """Where to cut `text`, or None to continue. It must begin with the text of the last call, which had no cut."""
        seen, self._seen = self._seen, len(text)
        cuts = (*self._line_stops(text, seen), _stop_string(text, seen, self._stop.strings))
        return min((cut for cut in cuts if cut is not None), default=None)

    def _line_stops(self, text: str, seen: int) -> Iterator[Cut | None]:
        if self._stop.single_line:
            newline = text.find("\n", seen)
            yield None if newline < 0 else (_line_end(text, newline), StopReason.NEWLINE)
        else:
            yield self._dedent(text, seen, self._stop.dedent_below)
            yield self._too_many_lines(text, seen, self._stop.max_lines)

    def _dedent(self, text: str, seen: int, below: int | None) -> Cut | None:
        """Cuts before the first line after the first one that is indented by less than `below` columns."""
        if not below:
            return None
        start = text.find("\n", seen) + 1 if self._blank_line_start is None else self._blank_line_start
        while start:
            end = text.find("\n", start)
            line = text[start:] if end < 0 else text[start:end]
            blank = not line.strip()
            if not blank and indentation(line) < below:
                return len(text[:start].rstrip()), StopReason.DEDENT
            self._blank_line_start = start if blank and end < 0 else None
            start = end + 1
        return None

    def _too_many_lines(self, text: str, seen: int, limit: int | None) -> Cut | None:
        if limit is None:
            return None
        if limit < 1:
            return 0, StopReason.MAX_LINES
        newline = text.find("\n", seen)
        while newline >= 0:
            self._lines += 1
            if self._lines == limit:
                return _line_end(text, newline), StopReason.MAX_LINES
            newline = text.find("\n", newline + 1)
        return None


def text_stop(text: str, stop: Stop) -> Cut | None:
    """Where to cut `text`, or None to continue."""
    return TextStop(stop).find(text)


def certain_length(text: str, stop: Stop) -> int:
    """How many code points of `text`, which is still growing, no rule can cut any more."""
    if stop.truncate_before is not None:
        return 0
    end = len(text.rstrip()) if stop.dedent_below or stop.max_lines else len(text)
    if stop.single_line:
        end -= text.endswith("\r")  # half a line end
    for string in stop.strings:
        overlap = next((n for n in range(min(len(string) - 1, len(text)), 0, -1) if text.endswith(string[:n])), 0)
        end = min(end, len(text) - overlap)
    return end


def truncate_before(text: str, patterns: Sequence[str]) -> str:
    """CodeGen's `truncate_before_pattern`: `text` up to the earliest match of any of the regular expressions.

    As in CodeGen's tokenizer, the text is first cut before the second line that begins with `print` and before the
    second one that begins with `def`. This suits answers of one function, so it is used only on request.
    Raises BadRequest for a pattern that is invalid, or takes too long.
    """
    for statement in ("print", "def"):
        lines = list(re.finditer(f"^{statement}", text, re.MULTILINE))
        if len(lines) > 1:
            text = text[: lines[1].start()]
    deadline = time.monotonic() + PATTERNS_S
    starts = [start for pattern in patterns if (start := _first_match(pattern, text, deadline)) is not None]
    return text[: min(starts)] if starts else text


def _line_end(text: str, newline: int) -> int:
    """Where the line that ends with this line feed ends: a carriage return before it belongs to the line end."""
    return newline - (text[newline - 1 : newline] == "\r")


def _first_match(pattern: str, text: str, deadline: float) -> int | None:
    """Where `pattern` first matches. Other threads run meanwhile: the search releases the GIL."""
    try:
        left = max(0.001, deadline - time.monotonic())
        match = regex.search(pattern, text, regex.MULTILINE, timeout=left, concurrent=True)
    except TimeoutError:
        raise BadRequest(f"The pattern {pattern!r} takes too long.", "Choose a simpler one.") from None
    except (regex.error, RecursionError, OverflowError) as error:
        raise BadRequest(f"{pattern!r} is not a valid regular expression: {error}.", "Fix or remove it.") from None
    return match.start() if match else None


def _stop_string(text: str, seen: int, strings: Sequence[str]) -> Cut | None:
    """Cuts before the first of `strings`, none of which is within the first `seen` code points."""
    starts = [(string, max(0, seen - len(string) + 1)) for string in strings if string]
    matches = [match for string, start in starts if (match := text.find(string, start)) >= 0]
    return (min(matches), StopReason.STOP_STRING) if matches else None
