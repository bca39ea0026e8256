"""Builds the prompt: the family's layout over windows of the text that fit the model's context."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt.families import Family, Part
from lacuna_inference.prompt.tokens import TokenText

SUFFIX_SHARE = 4
"""The suffix may have at least a quarter of the room, and all of it that the prefix leaves."""
_CHARACTERS_PER_TOKEN = 6
MINIMUM_ROOM = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """Token ids of a prompt. `between` holds, for each later hole, the ids that stand between its fill and the last."""

    ids: tuple[int, ...]
    between: tuple[tuple[int, ...], ...] = ()

    @property
    def holes(self) -> int:
        return 1 + len(self.between)


def plan(parts: tuple[str, ...], path: str | None, text: TokenText, context: int, max_tokens: int) -> Plan:
    """The prompt for the text `parts` around the holes, at most `context - max_tokens` a hole tokens long.

    One part is a left-to-right prompt. More than two need a family with masks; see `fills_together`.
    Raises BadRequest when there is no part, or when the context leaves no room for the text.
    """
    if not parts:
        raise BadRequest("The request holds no text.")
    holes = max(1, len(parts) - 1)
    room = context - holes * (max_tokens + 1)
    if room < MINIMUM_ROOM:
        raise BadRequest(
            f"{holes} x {max_tokens} new tokens leave no room for the text in a context of {context} tokens.",
            "Ask for fewer tokens, or choose a model with a longer context.",
        )
    if len(parts) == 1 or text.family.infill is None:
        return _left_to_right(parts[0], path, text, room)
    if len(parts) == 2:
        return _one_hole(parts[0], parts[1], path, text, room)
    return _several_holes(parts, path, text, room)


def fills_together(family: Family) -> bool:
    """Whether several holes stand in one prompt; otherwise each needs a prompt of its own."""
    return family.mask is not None


def _left_to_right(prefix: str, path: str | None, text: TokenText, room: int) -> Plan:
    begin = [text.sentinel(text.family.begin)] if text.family.begin else []
    header = _header(path, text)
    ids = _last_tokens(prefix, room - len(begin) - len(header), text.encode)
    return Plan((*begin, *header, *ids))


def _one_hole(prefix: str, suffix: str, path: str | None, text: TokenText, room: int) -> Plan:
    layout = text.family.infill or ()
    header = _header(path, text) if Part.HEADER in layout else []
    fixed = sum(isinstance(piece, str) for piece in layout)
    before, after = _windows(prefix, suffix, room - fixed - len(header), text)
    filled = {Part.HEADER: header, Part.PREFIX: before, Part.SUFFIX: after}
    ids: list[int] = []
    for piece in layout:
        ids += [text.sentinel(piece)] if isinstance(piece, str) else filled[piece]
    return Plan(tuple(ids))


def _several_holes(parts: tuple[str, ...], path: str | None, text: TokenText, room: int) -> Plan:
    """InCoder's causal masking: a M0 b M1 c M2 M0, and after each fill its end and the next mask."""
    mask, begin = text.family.mask, text.family.begin
    if mask is None or begin is None:
        raise BadRequest(f"The prompt family {text.family.name!r} fills one hole at a time.")
    masks = [text.sentinel(mask(i)) for i in range(len(parts))]
    end = text.sentinel(text.family.ends[0])
    header = _header(path, text)
    inner = [text.encode(part) for part in parts[1:-1]]
    room -= 2 + len(header) + len(parts) + sum(map(len, inner))
    if room < MINIMUM_ROOM:
        raise BadRequest("The holes stand too far apart for the model's context.", "Fill them one at a time.")
    before, after = _windows(parts[0], parts[-1], room, text)
    ids = [text.sentinel(begin), *header, *before]
    for number, tokens in enumerate([*inner, after]):
        ids += [masks[number], *tokens]
    ids += [masks[len(parts) - 1], masks[0]]
    return Plan(tuple(ids), tuple((end, masks[i]) for i in range(1, len(parts) - 1)))


def _header(path: str | None, text: TokenText) -> list[int]:
    return text.encode(text.family.header(path)) if text.family.header else []


def _windows(prefix: str, suffix: str, room: int, text: TokenText) -> tuple[list[int], list[int]]:
    """Tokens of the end of `prefix` and of the beginning of `suffix`, together at most `room`, prefix first."""
    before = _last_tokens(prefix, room, text.encode)
    after = _first_tokens(suffix, max(room - len(before), room // SUFFIX_SHARE), text.encode_bare)
    if len(before) + len(after) > room:
        before = _last_tokens(prefix, room - len(after), text.encode)
    return before, after


def _last_tokens(text: str, room: int, encode: Callable[[str], list[int]]) -> list[int]:
    """Tokens of the longest end of `text` that fits and begins at a line start; of any end when no line fits."""
    size = room * _CHARACTERS_PER_TOKEN
    while True:
        window = text if size >= len(text) else text[text.find("\n", len(text) - size) + 1 :]
        ids = encode(window)
        if len(ids) > room or size >= len(text):
            break
        size *= 2
    while len(ids) > room:
        # about as many characters too many as the surplus tokens are long; then on to the next line start
        surplus = max(1, len(window) * (len(ids) - room) // len(ids))
        line_start = window.find("\n", surplus - 1) + 1
        if line_start == 0 or line_start >= len(window):
            return ids[len(ids) - room :]
        window = window[line_start:]
        ids = encode(window)
    return ids


def _first_tokens(text: str, room: int, encode: Callable[[str], list[int]]) -> list[int]:
    """Tokens of the longest beginning of `text` that fits and ends at a line start; of any when no line fits."""
    size = room * _CHARACTERS_PER_TOKEN
    while True:
        window = text if size >= len(text) else text[: text.rfind("\n", 0, size) + 1 or size]
        ids = encode(window)
        if len(ids) > room or size >= len(text):
            break
        size *= 2
    while len(ids) > room:
        surplus = max(1, len(window) * (len(ids) - room) // len(ids))
        line_end = window.rfind("\n", 0, len(window) - surplus) + 1
        if line_end == 0:
            return ids[:room]
        window = window[:line_end]
        ids = encode(window)
    return ids
