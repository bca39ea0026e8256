"""A family's prompt as text, for servers that take no parts and whose tokens we do not know."""

from __future__ import annotations

from lacuna_inference.api import Request
from lacuna_inference.prompt.families import Family, Part
from lacuna_inference.prompt.room import for_answer, for_prompt

CHARACTERS_PER_TOKEN = 3
"""Fewer than code has, so that what is sent fits."""


def most_tokens(request: Request, context: int) -> int:
    """Tokens that the answer may have, so that it fits into the context with what `around` shows."""
    wanted = request.stop.max_tokens
    return for_answer(context, for_prompt(context, wanted), wanted)


def around(request: Request, context: int) -> tuple[str, str]:
    """The text before and behind the hole, cut to what a context of so many tokens holds, at line ends."""
    room = max(64, for_prompt(context, request.stop.max_tokens)) * CHARACTERS_PER_TOKEN
    before, after = request.parts[0], "".join(request.parts[1:])
    suffix = after if len(after) <= room // 4 else after[: after.rfind("\n", 0, room // 4) + 1]
    left = room - len(suffix)
    if len(before) > left:
        line = before.find("\n", len(before) - left) + 1
        before = before[line:] if line else before[-left:]
    return before, suffix


def as_text(request: Request, family: Family, context: int) -> str:
    """The prompt with the family's sentinels spelled out. Models without any only go on after the text."""
    before, after = around(request, context)
    header = family.header(request.path) if family.header else ""
    layout = family.infill if len(request.parts) > 1 else None
    if layout is None:
        return header + before
    start = before.rfind("\n") + 1 if Part.LINE in layout else len(before)
    filled = {Part.HEADER: header, Part.PREFIX: before[:start], Part.SUFFIX: after, Part.LINE: before[start:]}
    return "".join(piece if isinstance(piece, str) else filled[piece] for piece in layout)
