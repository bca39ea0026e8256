"""Builds the prompt: the family's layout over windows of the text that fit the model's context."""

from __future__ import annotations

from dataclasses import dataclass

from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt import room as share
from lacuna_inference.prompt.families import Family, Layout, Part
from lacuna_inference.prompt.tokenizer import TokenText
from lacuna_inference.prompt.windows import Window, chosen, kept, last_tokens

LINE_STEPS = 8
"""The cursor's line has this part of the room at least, and grows in steps of it."""
MINIMUM_ROOM = 16
UNNAMED = "untitled.py"
"""The file of an empty text without a name: a model that learned headers would else begin its answer with one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Token ids of a prompt. `between` holds, for each later hole, the ids that stand between its fill and the last.

    `begun` is the end of the text before the cursor when it is not in `ids`: what is written must begin with it.
    `window` is what of the document is shown, when that begins and ends with whole lines; `whole`: all of it.
    """

    ids: tuple[int, ...]
    between: tuple[tuple[int, ...], ...] = ()
    begun: str = ""
    window: Window | None = None
    whole: bool = True

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
    window: Window | None = None,
) -> Plan:
    """The prompt for the text `parts` around the holes. It leaves room for `max_tokens` a hole, as far as that is no
    more than half of the `context`.

    Between two fills there is room for the end of one and the mask of the next.

    In an anchored layout the hole begins at `anchor`, in code points of the first part, or at the cursor's line.
    `window` is what the document's last prompt showed: one hole's prompt shows the same while it fits.

    One part is a left-to-right prompt. More than two need a family with masks; see `fills_together`.
    Raises BadRequest when there is no part, or when the context leaves no room for the text.
    """
    if not parts:
        raise BadRequest("The request holds no text.", "Send the text before the cursor.")
    holes = max(1, len(parts) - 1)
    room = share.for_prompt(context, max_tokens, holes)
    if len(parts) == 1 or text.family.infill is None:
        return _left_to_right(parts[0], path, text, room)
    if len(parts) == 2:
        return _one_hole(parts[0], parts[1], path, text, room, layout, anchor, window)
    return _several_holes(parts, path, text, room)


def fills_together(family: Family) -> bool:
    """Whether several holes stand in one prompt; otherwise each needs a prompt of its own."""
    return family.mask is not None


def _left_to_right(prefix: str, path: str | None, text: TokenText, room: int) -> Plan:
    if not prefix and text.family.header and not text.family.header(path):
        path = UNNAMED
    prefix, begun = _healed(prefix, text)
    header, room = _header(path, text, room - len(text.begin) - 1 - len(text.encode(begun)))
    start, shown = last_tokens(prefix, room, text.encode)
    return Plan((*text.begin, *header, *shown) or (text.begin_of_nothing,), begun=begun, whole=start == 0)


def _one_hole(
    prefix: str,
    suffix: str,
    path: str | None,
    text: TokenText,
    room: int,
    wanted: Layout,
    anchor: int | None,
    window: Window | None,
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
    line_start, line_ids = last_tokens(line, room // 2, text.encode_bare)
    shown = kept(prefix, suffix, room - len(line_ids), text, window)
    if shown is None:
        step = max(1, room // LINE_STEPS)
        steps = -(-max(1, len(line_ids)) // step) if Part.LINE in layout else 0  # one in any case: the line will grow
        shown = chosen(prefix, suffix, room - steps * step, text)
    filled = {Part.HEADER: header, Part.PREFIX: shown.before, Part.SUFFIX: shown.after, Part.LINE: line_ids}
    ids: list[int] = []
    for piece in layout:
        ids += [text.sentinel(piece)] if isinstance(piece, str) else filled[piece]
    return Plan(tuple(ids), begun=begun, window=shown.window, whole=line_start == 0 and shown.window == Window(0, 0))


def _several_holes(parts: tuple[str, ...], path: str | None, text: TokenText, room: int) -> Plan:
    """InCoder's causal masking: a M0 b M1 c M2 M0, and after each fill its end and the next mask."""
    mask, begin = text.family.mask, text.family.begin
    if mask is None or begin is None:
        raise BadRequest(f"The prompt family {text.family.name!r} fills one hole at a time.")
    masks = [text.sentinel(mask(i)) for i in range(len(parts))]
    end = text.sentinel(text.family.ends[0])
    inner = [text.encode(part) for part in parts[1:-1]]
    header, room = _header(path, text, room - 2 - len(parts) - sum(map(len, inner)))
    shown = chosen(parts[0], parts[-1], room, text)
    ids = [text.sentinel(begin), *header, *shown.before]
    for number, tokens in enumerate([*inner, shown.after]):
        ids += [masks[number], *tokens]
    ids += [masks[len(parts) - 1], masks[0]]
    between = tuple((end, masks[i]) for i in range(1, len(parts) - 1))
    return Plan(tuple(ids), between, whole=shown.window == Window(0, 0))


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
