"""Windows: the part of a long text that a prompt shows. They seldom move, because a move costs the whole prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lacuna_inference.prompt.tokenizer import PromptTokenizer

SUFFIX_SHARE = 4
"""The suffix may take at least a quarter of the room, and all that the prefix leaves."""
STEPS = 4
"""The windows move in steps of a quarter of the room, not with every token: each move costs the whole prompt."""
EDGE = 8
"""A hole with less than an eighth of the room on a side, and more text there, gets another window."""
_CODE_POINTS_PER_TOKEN = 6
MAX_CODE_POINTS_PER_TOKEN = 16
"""A text with more code points per token of room is too long without tokenizing it."""


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a document that a prompt shows: all but `before` code points at the start and `after` at the end."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class ShownWindow:
    """Tokens before and after the hole, and their window; None if it does not end with whole lines."""

    before: list[int]
    after: list[int]
    window: Window | None


def kept(prefix: str, suffix: str, room: int, tokenizer: PromptTokenizer, window: Window | None) -> ShownWindow | None:
    """The last prompt's window, if it still fits and the hole is not at its edge; otherwise None.

    A window that moves costs the whole prompt, and with a grid alone it would move every few lines.
    """
    if window is None or window.before > len(prefix) or window.after > len(suffix):
        return None
    end = len(suffix) - window.after
    if len(prefix) - window.before + end > room * MAX_CODE_POINTS_PER_TOKEN:
        return None
    if (window.before and prefix[window.before - 1] != "\n") or (window.after and suffix[end - 1 : end] != "\n"):
        return None  # the text outside the window has changed
    before, after = tokenizer.encode(prefix[window.before :]), tokenizer.encode_bare(suffix[:end])
    narrow = (window.before and len(before) < room // EDGE) or (window.after and len(after) < room // EDGE)
    return None if narrow or len(before) + len(after) > room else ShownWindow(before, after, window)


def chosen(prefix: str, suffix: str, room: int, tokenizer: PromptTokenizer) -> ShownWindow:
    """Tokens of the end of `prefix` and of the beginning of `suffix`, at most `room` in all; the prefix has priority.

    The suffix's share changes in steps, so that its end does not move while the user types.
    """
    step = max(1, room // STEPS)
    start, before = last_tokens(prefix, room, tokenizer.encode)
    share = max((room - len(before)) // step * step, room // SUFFIX_SHARE)
    end, after = _first_tokens(suffix, share, tokenizer.encode_bare)
    if len(before) + len(after) > room:
        start, before = last_tokens(prefix, room - len(after), tokenizer.encode)
    window = None if start is None or end is None else Window(start, len(suffix) - end)
    return ShownWindow(before, after, window)


def last_tokens(text: str, room: int, encode: Callable[[str], list[int]]) -> tuple[int | None, list[int]]:
    """Start and tokens of a long end of `text` that fits `room` tokens and begins at a line start.

    If no line fits, the start is None and the tokens begin anywhere. The start is chosen on a grid over the text, so
    that it does not move while the user types, and the KV cache can be reused.
    """
    at_line_start = True
    start, ids = 0, encode(text[-room * _CODE_POINTS_PER_TOKEN :])
    if len(text) > room * _CODE_POINTS_PER_TOKEN:
        start, ids = _enlarged(text, room, encode, ids)
    step = max(1, (len(text) - start) * room // max(1, len(ids)) // STEPS)
    grid = 1 << (step.bit_length() - 1)  # a power of two: the measured length of a token varies, the grid must not
    while len(ids) > room:
        window = len(text) - start
        surplus = max(1, window * (len(ids) - room) // len(ids))
        start = -(-(start + surplus) // grid) * grid
        line_start = text.find("\n", max(0, min(start, len(text) - 1) - 1)) + 1
        at_line_start = 0 < line_start < len(text)
        if not at_line_start and start >= len(text):
            return None, ids[len(ids) - room :]
        start = line_start if at_line_start else start
        ids = encode(text[start:])
    return start if at_line_start else None, ids


def _enlarged(text: str, room: int, encode: Callable[[str], list[int]], ids: list[int]) -> tuple[int, list[int]]:
    """Start and tokens of an end of `text` with at least `room` tokens, or of all of it."""
    size = room * _CODE_POINTS_PER_TOKEN
    while len(ids) <= room and size < len(text):
        size *= 2
        ids = encode(text[-size:])
    return max(0, len(text) - size), ids


def _first_tokens(text: str, room: int, encode: Callable[[str], list[int]]) -> tuple[int | None, list[int]]:
    """End and tokens of the longest beginning of `text` that fits `room` tokens and ends at a line start.

    If no line fits, the end is None and the tokens end anywhere.
    """
    size = room * _CODE_POINTS_PER_TOKEN
    ids = encode(text[:size])
    while len(ids) <= room and size < len(text):
        size *= 2
        ids = encode(text[:size])
    window = text[:size]
    while len(ids) > room:
        surplus = max(1, len(window) * (len(ids) - room) // len(ids))
        line_end = window.rfind("\n", 0, len(window) - surplus) + 1
        if line_end == 0:
            return None, ids[:room]
        window = window[:line_end]
        ids = encode(window)
    return len(window), ids
