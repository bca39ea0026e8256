"""Builds the prompt: the family's layout over windows of the text that fit the model's context."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt.families import Family, Layout, Part
from lacuna_inference.prompt.tokens import TokenText

SUFFIX_SHARE = 4
"""The suffix may have at least a quarter of the room, and all of it that the prefix leaves."""
STEPS = 4
"""The windows move in steps of this part of the room, not with every token: each move costs the whole prompt."""
LINE_STEPS = 8
"""The cursor's line has this part of the room at least, and grows in steps of it."""
_CHARACTERS_PER_TOKEN = 6
MINIMUM_ROOM = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """Token ids of a prompt. `between` holds, for each later hole, the ids that stand between its fill and the last.

    `begun` is the end of the text before the cursor when it is not in `ids`: what is written must begin with it.
    """

    ids: tuple[int, ...]
    between: tuple[tuple[int, ...], ...] = ()
    begun: str = ""

    @property
    def holes(self) -> int:
        return 1 + len(self.between)


def plan(
    parts: tuple[str, ...],
    path: str | None,
    text: TokenText,
    context: int,
    max_tokens: int,
    layout: Layout = Layout.ANCHORED,
    anchor: int | None = None,
) -> Plan:
    """The prompt for the text `parts` around the holes, at most `context - max_tokens` a hole tokens long.

    In an anchored layout the hole begins at `anchor`, in code points of the first part, or at the cursor's line.

    One part is a left-to-right prompt. More than two need a family with masks; see `fills_together`.
    Raises BadRequest when there is no part, or when the context leaves no room for the text.
    """
    if not parts:
        raise BadRequest("The request holds no text.", "Send the text before the cursor.")
    holes = max(1, len(parts) - 1)
    room = context - holes * (max_tokens + 1)
    if len(parts) == 1 or text.family.infill is None:
        return _left_to_right(parts[0], path, text, room)
    if len(parts) == 2:
        return _one_hole(parts[0], parts[1], path, text, room, layout, anchor)
    return _several_holes(parts, path, text, room)


def fills_together(family: Family) -> bool:
    """Whether several holes stand in one prompt; otherwise each needs a prompt of its own."""
    return family.mask is not None


def _left_to_right(prefix: str, path: str | None, text: TokenText, room: int) -> Plan:
    prefix, begun = _healed(prefix, text)
    header, room = _header(path, text, room - len(text.begin) - 1 - len(text.encode(begun)))
    ids = (*text.begin, *header, *_last_tokens(prefix, room, text.encode))
    return Plan(ids or (text.begin_of_nothing,), begun=begun)


def _one_hole(
    prefix: str, suffix: str, path: str | None, text: TokenText, room: int, wanted: Layout, anchor: int | None
) -> Plan:
    layout = text.family.layout(wanted) or ()
    fixed = sum(isinstance(piece, str) for piece in layout)
    prefix, begun = _healed(prefix, text)
    line = ""
    if Part.LINE in layout:
        start = len(_anchored(prefix)[0]) if anchor is None else anchor
        prefix, line = prefix[:start], prefix[start:]
    fixed += len(text.encode(begun))
    header, room = _header(path if Part.HEADER in layout else None, text, room - fixed)
    line_ids = _last_tokens(line, room // 2, text.encode_bare)
    step = max(1, room // LINE_STEPS)
    steps = -(-max(1, len(line_ids)) // step) if Part.LINE in layout else 0  # one in any case: the line will grow
    before, after = _windows(prefix, suffix, room - steps * step, text)
    filled = {Part.HEADER: header, Part.PREFIX: before, Part.SUFFIX: after, Part.LINE: line_ids}
    ids: list[int] = []
    for piece in layout:
        ids += [text.sentinel(piece)] if isinstance(piece, str) else filled[piece]
    return Plan(tuple(ids), begun=begun)


def _several_holes(parts: tuple[str, ...], path: str | None, text: TokenText, room: int) -> Plan:
    """InCoder's causal masking: a M0 b M1 c M2 M0, and after each fill its end and the next mask."""
    mask, begin = text.family.mask, text.family.begin
    if mask is None or begin is None:
        raise BadRequest(f"The prompt family {text.family.name!r} fills one hole at a time.")
    masks = [text.sentinel(mask(i)) for i in range(len(parts))]
    end = text.sentinel(text.family.ends[0])
    inner = [text.encode(part) for part in parts[1:-1]]
    header, room = _header(path, text, room - 2 - len(parts) - sum(map(len, inner)))
    before, after = _windows(parts[0], parts[-1], room, text)
    ids = [text.sentinel(begin), *header, *before]
    for number, tokens in enumerate([*inner, after]):
        ids += [masks[number], *tokens]
    ids += [masks[len(parts) - 1], masks[0]]
    return Plan(tuple(ids), tuple((end, masks[i]) for i in range(1, len(parts) - 1)))


def _healed(prefix: str, text: TokenText) -> tuple[str, str]:
    """`prefix` without the word that is healed, and that word."""
    begun = text.begun(prefix)
    return prefix[: len(prefix) - len(begun)], begun


def _anchored(prefix: str) -> tuple[str, str]:
    """`prefix` up to the cursor's line, and the beginning of that line."""
    start = prefix.rfind("\n") + 1
    return prefix[:start], prefix[start:]


def _header(path: str | None, text: TokenText, room: int) -> tuple[list[int], int]:
    """The header's tokens and the room that is left for text; no header when it would take the last room.

    Raises BadRequest when there is no room for text at all.
    """
    if room < MINIMUM_ROOM:
        raise BadRequest(
            "The answer's tokens and the text between the holes leave no room in the model's context.",
            "Ask for fewer tokens or holes, or choose a model with a longer context.",
        )
    header = text.encode(text.family.header(path)) if text.family.header else []
    return (header, room - len(header)) if room - len(header) >= MINIMUM_ROOM else ([], room)


def _windows(prefix: str, suffix: str, room: int, text: TokenText) -> tuple[list[int], list[int]]:
    """Tokens of the end of `prefix` and of the beginning of `suffix`, together at most `room`, prefix first.

    The suffix's share changes in steps, so that its end stays where it is while the user types.
    """
    step = max(1, room // STEPS)
    before = _last_tokens(prefix, room, text.encode)
    share = max((room - len(before)) // step * step, room // SUFFIX_SHARE)
    after = _first_tokens(suffix, share, text.encode_bare)
    if len(before) + len(after) > room:
        before = _last_tokens(prefix, room - len(after), text.encode)
    return before, after


def _last_tokens(text: str, room: int, encode: Callable[[str], list[int]]) -> list[int]:
    """Tokens of a long end of `text` that fits and begins at a line start; of any end when no line fits.

    The beginning is chosen on a grid over the text, so that it stays while the user types, and with it the KV cache.
    """
    start, ids = 0, encode(text[-room * _CHARACTERS_PER_TOKEN :])
    if len(text) > room * _CHARACTERS_PER_TOKEN:
        start, ids = _grown(text, room, encode, ids)
    step = max(1, (len(text) - start) * room // max(1, len(ids)) // STEPS)
    grid = 1 << (step.bit_length() - 1)  # a power of two: the measured length of a token varies, the grid must not
    while len(ids) > room:
        window = len(text) - start
        surplus = max(1, window * (len(ids) - room) // len(ids))
        start = min(-(-(start + surplus) // grid) * grid, len(text) - 1)
        line_start = text.find("\n", max(0, start - 1)) + 1
        if line_start == 0 or line_start >= len(text):
            return ids[len(ids) - room :]
        start = line_start
        ids = encode(text[start:])
    return ids


def _grown(text: str, room: int, encode: Callable[[str], list[int]], ids: list[int]) -> tuple[int, list[int]]:
    """Start and tokens of an end of `text` that holds at least `room` tokens, or of all of it."""
    size = room * _CHARACTERS_PER_TOKEN
    while len(ids) <= room and size < len(text):
        size *= 2
        ids = encode(text[-size:])
    return max(0, len(text) - size), ids


def _first_tokens(text: str, room: int, encode: Callable[[str], list[int]]) -> list[int]:
    """Tokens of the longest beginning of `text` that fits and ends at a line start; of any when no line fits."""
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
            return ids[:room]
        window = window[:line_end]
        ids = encode(window)
    return ids
