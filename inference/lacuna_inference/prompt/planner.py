"""Builds the prompt: the family's layout over windows of the text that fit the model's context."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from lacuna_inference.api import ContextFile
from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt import context_budget, context_files
from lacuna_inference.prompt.families import Family, Layout, Placeholder, TrailingBlanks
from lacuna_inference.prompt.tokenizer import PromptTokenizer
from lacuna_inference.prompt.windows import Window, chosen, kept, last_tokens
from lacuna_inference.text import BLANKS

LINE_STEPS = 8
"""The room reserved for the cursor's line grows in steps of an eighth of the room, and is at least one step."""
MINIMUM_ROOM = 16
"""Tokens of text that a prompt must have room for."""
UNNAMED = "untitled.py"
"""The path of an empty text without one: otherwise a model trained with headers would begin its answer with one."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids of a prompt. `between` holds, for each later hole, the ids between the previous fill and its own.

    `healed_prefix` is the end of the text before the cursor if `ids` leave it out: the answer must begin with it.
    `window` is the part of the document that is shown, if it begins and ends with whole lines. `whole` says whether all
    of it is shown; one that is `narrow` shows less than fits.
    """

    ids: tuple[int, ...]
    between: tuple[tuple[int, ...], ...] = ()
    healed_prefix: str = ""
    window: Window | None = None
    whole: bool = True
    narrow: bool = False

    @property
    def holes(self) -> int:
        return 1 + len(self.between)


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """The input of a prompt: the texts around the holes, and their layout. Lengths in tokens.

    One part is a left-to-right prompt. More than two need a family with masks; see `fills_together`.
    `max_tokens` is the room reserved for each fill; together, the fills get at most half of the context.
    In an anchored layout, the hole begins at `anchor`, a position in the first part in code points, or at `hole_start`.
    `window` is the window of the document's last prompt; a prompt with one hole keeps it while it
    fits. Such a prompt also shows `files` of the `repository`, see `context_files.shown`.
    """

    parts: tuple[str, ...]
    path: str | None
    max_tokens: int
    layout: Layout = Layout.ANCHORED
    anchor: int | None = None
    window: Window | None = None
    files: tuple[ContextFile, ...] = ()
    repository: str | None = None


def plan(spec: PromptSpec, tokenizer: PromptTokenizer, context: int) -> Prompt:
    """The prompt for `spec` in a context of `context` tokens.

    There is also room for the end of each fill and the mask of the next.
    Raises BadRequest if there are no parts, or if the context has no room for the text.
    """
    parts = spec.parts
    if not parts:
        raise BadRequest("The request has no text.", "Send the text before the cursor.")
    room = context_budget.for_prompt(context, spec.max_tokens, max(1, len(parts) - 1))
    if len(parts) == 1 or tokenizer.family.infill is None:
        return _left_to_right(spec, tokenizer, room)
    if len(parts) == 2:
        return _one_hole(spec, tokenizer, room)
    return _several_holes(spec, tokenizer, room)


def fills_together(family: Family) -> bool:
    """Whether one prompt can have several holes; otherwise each needs a separate prompt."""
    return family.mask is not None


def hole_start(prefix: str, family: Family) -> int:
    """Where an anchored hole begins if nothing is known of the document, in code points.

    That is the start of the cursor's line, or where the blanks before the cursor stay in the prompt, the end of its
    indentation.
    """
    start = prefix.rfind("\n") + 1
    kept = family.trailing_blanks is TrailingBlanks.KEPT
    return len(prefix) - len(prefix[start:].lstrip(BLANKS)) if kept else start


def _left_to_right(spec: PromptSpec, tokenizer: PromptTokenizer, room: int) -> Prompt:
    prefix, path = spec.parts[0], spec.path
    if not prefix and tokenizer.family.header and not tokenizer.family.header(path):
        path = UNNAMED
    prefix, healed_prefix = _healed(prefix, tokenizer, tokenizer.family.blanks_left_to_right)
    header, room = _header(path, tokenizer, room - len(tokenizer.begin) - 1 - len(tokenizer.encode(healed_prefix)))
    others = context_files.shown(spec.files, spec.repository, spec.path, tokenizer, room)
    start, shown = last_tokens(prefix, room - others.length, tokenizer.encode)
    return Prompt(
        (*tokenizer.begin, *header, *others.in_prefix, *shown) or (tokenizer.begin_of_nothing,),
        healed_prefix=healed_prefix,
        whole=start == 0,
    )


def _one_hole(spec: PromptSpec, tokenizer: PromptTokenizer, room: int) -> Prompt:
    prefix, suffix = spec.parts
    layout = tokenizer.family.layout(spec.layout) or ()
    fixed = sum(isinstance(element, str) for element in layout)
    line = ""
    if Placeholder.LINE in layout:
        start = hole_start(prefix, tokenizer.family) if spec.anchor is None else spec.anchor
        prefix, healed_prefix = _healed(prefix, tokenizer, tokenizer.family.blanks_left_to_right, start)
        prefix, line = prefix[:start], prefix[start:]
    else:
        prefix, healed_prefix = _healed(prefix, tokenizer, tokenizer.family.trailing_blanks)
    fixed += len(tokenizer.encode(healed_prefix))
    header, room = _header(spec.path if Placeholder.HEADER in layout else None, tokenizer, room - fixed)
    others = context_files.shown(spec.files, spec.repository, spec.path, tokenizer, room)
    room -= others.length
    line_start, line_ids = last_tokens(line, room // 2, tokenizer.encode_bare)
    shown = kept(prefix, suffix, room - len(line_ids), tokenizer, spec.window)
    if shown is None:
        step = max(1, room // LINE_STEPS)
        # at least one step, because the line will grow
        steps = -(-max(1, len(line_ids)) // step) if Placeholder.LINE in layout else 0
        shown = chosen(prefix, suffix, room - steps * step, tokenizer)
    filled = {
        Placeholder.HEADER: header,
        Placeholder.PREFIX: [*others.in_prefix, *shown.before],
        Placeholder.SUFFIX: shown.after,
        Placeholder.LINE: line_ids,
    }
    elements = [[tokenizer.sentinel(e)] if isinstance(e, str) else filled[e] for e in layout]
    elements.insert(int(layout[:1] == (tokenizer.family.begin,)), others.before)
    return Prompt(
        tuple(chain.from_iterable(elements)),
        healed_prefix=healed_prefix,
        window=shown.window,
        whole=line_start == 0 and shown.window == Window(0, 0),
    )


def _several_holes(spec: PromptSpec, tokenizer: PromptTokenizer, room: int) -> Prompt:
    """InCoder's causal masking: a M0 b M1 c M2 M0, and after each fill its end and the next mask."""
    parts, path = spec.parts, spec.path
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


def _healed(prefix: str, tokenizer: PromptTokenizer, blanks: TrailingBlanks, anchor: int = 0) -> tuple[str, str]:
    """`prefix` without its healed prefix, and the healed prefix. Blanks before `anchor` are not healed."""
    healed_prefix = tokenizer.healed_prefix(prefix, blanks)
    before_anchor = healed_prefix[: max(0, anchor - len(prefix) + len(healed_prefix))]
    if before_anchor.isspace():
        healed_prefix = healed_prefix[len(before_anchor) :]
    return prefix[: len(prefix) - len(healed_prefix)], healed_prefix


def _header(path: str | None, tokenizer: PromptTokenizer, room: int) -> tuple[list[int], int]:
    """The header's tokens and the remaining room for text; no header if too little room would remain.

    Raises BadRequest if there is no room for text.
    """
    if room < MINIMUM_ROOM:
        raise BadRequest(
            "The answer's tokens and the text between the holes leave no room in the model's context.",
            "Ask for fewer tokens or holes, or choose a model with a longer context.",
        )
    header = tokenizer.header(path)
    return (header, room - len(header)) if room - len(header) >= MINIMUM_ROOM else ([], room)
