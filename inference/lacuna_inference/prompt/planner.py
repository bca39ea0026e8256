"""Builds the prompt: the family's layout over windows of the text that fit the model's context."""

from __future__ import annotations

from dataclasses import dataclass

from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt import room as share
from lacuna_inference.prompt.families import Family, Layout, Placeholder
from lacuna_inference.prompt.tokenizer import PromptTokenizer
from lacuna_inference.prompt.windows import Window, chosen, kept, last_tokens

LINE_STEPS = 8
"""The cursor's line has this part of the room at least, and grows in steps of it."""
MINIMUM_ROOM = 16
UNNAMED = "untitled.py"
"""The file of an empty text without a name: a model that learned headers would else begin its answer with one."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids of a prompt. `between` holds, for each later hole, the ids that stand between its fill and the last.

    `healed_prefix` is the end of the text before the cursor when `ids` leave it out: the answer must begin with it.
    `window` is what of the document is shown, when that begins and ends with whole lines; `whole`: all of it.
    """

    ids: tuple[int, ...]
    between: tuple[tuple[int, ...], ...] = ()
    healed_prefix: str = ""
    window: Window | None = None
    whole: bool = True

    @property
    def holes(self) -> int:
        return 1 + len(self.between)


def plan(
    parts: tuple[str, ...],
    path: str | None,
    tokenizer: PromptTokenizer,
    context: int,
    max_tokens: int,
    layout: Layout = Layout.ANCHORED,
    anchor: int | None = None,
    window: Window | None = None,
) -> Prompt:
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
    if len(parts) == 1 or tokenizer.family.infill is None:
        return _left_to_right(parts[0], path, tokenizer, room)
    if len(parts) == 2:
        return _one_hole(parts[0], parts[1], path, tokenizer, room, layout, anchor, window)
    return _several_holes(parts, path, tokenizer, room)


def fills_together(family: Family) -> bool:
    """Whether several holes stand in one prompt; otherwise each needs a prompt of its own."""
    return family.mask is not None


def _left_to_right(prefix: str, path: str | None, tokenizer: PromptTokenizer, room: int) -> Prompt:
    if not prefix and tokenizer.family.header and not tokenizer.family.header(path):
        path = UNNAMED
    prefix, healed_prefix = _healed(prefix, tokenizer)
    header, room = _header(path, tokenizer, room - len(tokenizer.begin) - 1 - len(tokenizer.encode(healed_prefix)))
    start, shown = last_tokens(prefix, room, tokenizer.encode)
    return Prompt(
        (*tokenizer.begin, *header, *shown) or (tokenizer.begin_of_nothing,),
        healed_prefix=healed_prefix,
        whole=start == 0,
    )


def _one_hole(
    prefix: str,
    suffix: str,
    path: str | None,
    tokenizer: PromptTokenizer,
    room: int,
    wanted: Layout,
    anchor: int | None,
    window: Window | None,
) -> Prompt:
    layout = tokenizer.family.layout(wanted) or ()
    fixed = sum(isinstance(piece, str) for piece in layout)
    prefix, healed_prefix = _healed(prefix, tokenizer)
    line = ""
    if Placeholder.LINE in layout:
        start = len(_anchored(prefix)[0]) if anchor is None else anchor
        prefix, line = prefix[:start], prefix[start:]
    fixed += len(tokenizer.encode(healed_prefix))
    header, room = _header(path if Placeholder.HEADER in layout else None, tokenizer, room - fixed)
    line_start, line_ids = last_tokens(line, room // 2, tokenizer.encode_bare)
    shown = kept(prefix, suffix, room - len(line_ids), tokenizer, window)
    if shown is None:
        step = max(1, room // LINE_STEPS)
        steps = (
            -(-max(1, len(line_ids)) // step) if Placeholder.LINE in layout else 0
        )  # one in any case: the line will grow
        shown = chosen(prefix, suffix, room - steps * step, tokenizer)
    filled = {
        Placeholder.HEADER: header,
        Placeholder.PREFIX: shown.before,
        Placeholder.SUFFIX: shown.after,
        Placeholder.LINE: line_ids,
    }
    ids: list[int] = []
    for piece in layout:
        ids += [tokenizer.sentinel(piece)] if isinstance(piece, str) else filled[piece]
    return Prompt(
        tuple(ids),
        healed_prefix=healed_prefix,
        window=shown.window,
        whole=line_start == 0 and shown.window == Window(0, 0),
    )


def _several_holes(parts: tuple[str, ...], path: str | None, tokenizer: PromptTokenizer, room: int) -> Prompt:
    """InCoder's causal masking: a M0 b M1 c M2 M0, and after each fill its end and the next mask."""
    mask, begin = tokenizer.family.mask, tokenizer.family.begin
    if mask is None or begin is None:
        raise BadRequest(f"The prompt family {tokenizer.family.name!r} fills one hole at a time.")
    masks = [tokenizer.sentinel(mask(i)) for i in range(len(parts))]
    end = tokenizer.sentinel(tokenizer.family.ends[0])
    inner = [tokenizer.encode(part) for part in parts[1:-1]]
    header, room = _header(path, tokenizer, room - 2 - len(parts) - sum(map(len, inner)))
    shown = chosen(parts[0], parts[-1], room, tokenizer)
    ids = [tokenizer.sentinel(begin), *header, *shown.before]
    for number, tokens in enumerate([*inner, shown.after]):
        ids += [masks[number], *tokens]
    ids += [masks[len(parts) - 1], masks[0]]
    between = tuple((end, masks[i]) for i in range(1, len(parts) - 1))
    return Prompt(tuple(ids), between, whole=shown.window == Window(0, 0))


def _healed(prefix: str, tokenizer: PromptTokenizer) -> tuple[str, str]:
    """`prefix` without the word that is healed, and that word."""
    healed_prefix = tokenizer.healed_prefix(prefix)
    return prefix[: len(prefix) - len(healed_prefix)], healed_prefix


def _anchored(prefix: str) -> tuple[str, str]:
    """`prefix` up to the cursor's line, and the beginning of that line."""
    start = prefix.rfind("\n") + 1
    return prefix[:start], prefix[start:]


def _header(path: str | None, tokenizer: PromptTokenizer, room: int) -> tuple[list[int], int]:
    """The header's tokens and the room that is left for text; no header when it would take the last room.

    Raises BadRequest when there is no room for text at all.
    """
    if room < MINIMUM_ROOM:
        raise BadRequest(
            "The answer's tokens and the text between the holes leave no room in the model's context.",
            "Ask for fewer tokens or holes, or choose a model with a longer context.",
        )
    header = tokenizer.encode(tokenizer.family.header(path)) if tokenizer.family.header else []
    return (header, room - len(header)) if room - len(header) >= MINIMUM_ROOM else ([], room)
