"""Cuts an answer to what should stand at the cursor: no repetition of the text that follows, no trailing blanks."""

from __future__ import annotations

from enum import StrEnum

from lacuna_server.core.snapshot import Snapshot


class Withheld(StrEnum):
    """Why nothing is shown."""

    EMPTY = "empty"
    """The model had nothing to add."""
    REPEATS = "repeats"
    """The answer only repeated the text that follows the cursor."""
    INSIDE_WORD = "inside-word"
    """The cursor stands inside a word."""
    LOADING = "loading"
    """The model is not loaded yet."""
    UNAVAILABLE = "unavailable"
    """The model failed to load, or the request failed."""
    CANCELLED = "cancelled"
    """The request was cancelled or replaced."""


def trim(text: str, snapshot: Snapshot) -> str | Withheld:
    """What of `text` is to be inserted at the cursor, with `\\n` as line end; or why nothing is."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        return Withheld.EMPTY
    suffix = snapshot.suffix.replace("\r\n", "\n").replace("\r", "\n")
    text = _without_following_lines(text, suffix)
    text = _without_overlap(text, snapshot.line_after)
    text = text.rstrip()
    return text if text.strip() else Withheld.REPEATS


def _without_following_lines(text: str, suffix: str) -> str:
    """Cuts where two lines of the answer are the first two lines that stand below the cursor anyway."""
    below = [line.rstrip() for line in suffix.split("\n")[1:] if line.strip()][:2]
    lines = text.split("\n")
    if not below or len("".join(below)) < 4:
        return text
    kept = [line.rstrip() for line in lines]
    for number in range(1, len(lines)):
        following = [line for line in kept[number:] if line.strip()][: len(below)]
        if (
            following
            and following == below[: len(following)]
            and (len(following) == len(below) or number == len(lines) - 1)
        ):
            return "\n".join(lines[:number])
    return text


def _without_overlap(text: str, after: str) -> str:
    """Cuts the longest end of the answer's last line that the rest of the cursor's line repeats.

    A closing sign alone is left in place unless it would stand twice: `f(x` before `)` may be completed to `f(x)`,
    so the overlap is only cut when the brackets of the answer do not need it.
    """
    after = after.rstrip()
    if not after.strip():
        return text
    for length in range(min(len(text), len(after)), 0, -1):
        if text.endswith(after[:length]) and (length > 1 or not _needed(text, after[0])):
            return text[: len(text) - length]
    return text


def _needed(text: str, closer: str) -> bool:
    """Whether the last closing bracket of `text` closes one that `text` opened itself."""
    opener = {")": "(", "]": "[", "}": "{"}.get(closer)
    return opener is not None and text.count(opener) >= text.count(closer)
