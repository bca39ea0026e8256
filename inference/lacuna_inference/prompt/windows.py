"""Windows: what of a long text goes into a prompt, chosen so that it seldom moves: a move costs the whole prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lacuna_inference.prompt.tokenizer import PromptTokenizer

SUFFIX_SHARE = 4
"""The suffix may have at least a quarter of the room, and all of it that the prefix leaves."""
STEPS = 4
"""The windows move in steps of this part of the room, not with every token: each move costs the whole prompt."""
EDGE = 8
"""A hole with less than this part of the room on a side, where there is more text, gets another window."""
_CHARACTERS_PER_TOKEN = 6
_MAX_CODE_POINTS_PER_TOKEN = 16
"""A text with more need not be tokenised to know that it is too long."""


@dataclass(frozen=True, slots=True)
class Window:
    """What of a document a prompt shows: all but `before` code points at its start and `behind` at its end."""

    before: int
    behind: int


@dataclass(frozen=True, slots=True)
class ShownWindow:
    """Tokens before and behind the hole, and the window that they are; None where it does not end with whole lines."""

    before: list[int]
    after: list[int]
    window: Window | None


def kept(prefix: str, suffix: str, room: int, tokenizer: PromptTokenizer, window: Window | None) -> ShownWindow | None:
    """What the last prompt showed, when it fits still and the hole is not at its very edge; else None.

    A window that moves costs the whole prompt, and with a grid alone it would move every few lines.
    """
    if window is None or window.before > len(prefix) or window.behind > len(suffix):
        return None
    end = len(suffix) - window.behind
    if len(prefix) - window.before + end > room * _MAX_CODE_POINTS_PER_TOKEN:
        return None
    if (window.before and prefix[window.before - 1] != "\n") or (window.behind and suffix[end - 1 : end] != "\n"):
        return None  # the text outside it has changed
    before, after = tokenizer.encode(prefix[window.before :]), tokenizer.encode_bare(suffix[:end])
    narrow = (window.before and len(before) < room // EDGE) or (window.behind and len(after) < room // EDGE)
    return None if narrow or len(before) + len(after) > room else ShownWindow(before, after, window)


def chosen(prefix: str, suffix: str, room: int, tokenizer: PromptTokenizer) -> ShownWindow:
    """Tokens of the end of `prefix` and of the beginning of `suffix`, together at most `room`, prefix first.

    The suffix's share changes in steps, so that its end stays where it is while the user types.
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
    """Start and tokens of a long end of `text` that fits and begins at a line start; of any when no line fits (None).

    The beginning is chosen on a grid over the text, so that it stays while the user types, and with it the KV cache.
    """
    whole = True
    start, ids = 0, encode(text[-room * _CHARACTERS_PER_TOKEN :])
    if len(text) > room * _CHARACTERS_PER_TOKEN:
        start, ids = _grown(text, room, encode, ids)
    step = max(1, (len(text) - start) * room // max(1, len(ids)) // STEPS)
    grid = 1 << (step.bit_length() - 1)  # a power of two: the measured length of a token varies, the grid must not
    while len(ids) > room:
        window = len(text) - start
        surplus = max(1, window * (len(ids) - room) // len(ids))
        start = -(-(start + surplus) // grid) * grid
        line_start = text.find("\n", max(0, min(start, len(text) - 1) - 1)) + 1
        whole = 0 < line_start < len(text)
        if not whole and start >= len(text):
            return None, ids[len(ids) - room :]
        start = line_start if whole else start
        ids = encode(text[start:])
    return start if whole else None, ids


def _grown(text: str, room: int, encode: Callable[[str], list[int]], ids: list[int]) -> tuple[int, list[int]]:
    """Start and tokens of an end of `text` that holds at least `room` tokens, or of all of it."""
    size = room * _CHARACTERS_PER_TOKEN
    while len(ids) <= room and size < len(text):
        size *= 2
        ids = encode(text[-size:])
    return max(0, len(text) - size), ids


def _first_tokens(text: str, room: int, encode: Callable[[str], list[int]]) -> tuple[int | None, list[int]]:
    """End and tokens of the longest beginning of `text` that fits and ends at a line start; of any when no line fits
    (None)."""
    size = room * _CHARACTERS_PER_TOKEN
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
