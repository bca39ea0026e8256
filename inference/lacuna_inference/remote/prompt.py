"""What a server is shown of a request's text: cut to its context, and as one text for servers that take no parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lacuna_inference.api import Request
from lacuna_inference.prompt.families import Family, Placeholder
from lacuna_inference.prompt.room import for_answer, for_prompt
from lacuna_inference.remote.escaping import ordinary, respellings

CHARACTERS_PER_TOKEN = 3
"""Fewer than code has, so that what is sent fits."""


@dataclass(frozen=True, slots=True)
class ShownText:
    """The text before and behind the hole without any sentinel in it, and how to spell again what was changed."""

    before: str
    after: str
    respelled: Mapping[str, str] = field(default_factory=dict)

    def undone(self, text: str) -> str:
        """`text` of an answer, with the user's own spelling of the sentinels that it repeats."""
        for broken, sentinel in self.respelled.items():
            text = text.replace(broken, sentinel)
        return text


def most_tokens(request: Request, context: int) -> int:
    """Tokens that the answer may have, so that it fits into the context with what `around` shows."""
    wanted = request.stop.max_tokens
    return for_answer(context, for_prompt(context, wanted), wanted)


def around(request: Request, context: int) -> tuple[str, str]:
    """The text before and behind the hole, cut to what a context of so many tokens holds, at line ends."""
    room = max(64, for_prompt(context, request.stop.max_tokens)) * CHARACTERS_PER_TOKEN
    suffix = _first("".join(request.parts[1:]), room // 4)
    return _last(request.parts[0], room - len(suffix)), suffix


def shown(request: Request, family: Family | None, context: int) -> ShownText:
    """As `around`, with no sentinel of `family` in it."""
    texts = around(request, context)
    before, after = (ordinary(text, family) for text in texts)
    return ShownText(before, after, respellings(texts, family))


def as_text(request: Request, family: Family, context: int, begins: bool | None = None) -> str:
    """The prompt with the family's sentinels spelled out. Models without any only go on after the text.

    `begins` says whether the server puts the token before a text by which texts begin; by default it does what the
    family's published tokenizer does.
    """
    return laid_out(shown(request, family, context), request, family, begins)


def laid_out(texts: ShownText, request: Request, family: Family, begins: bool | None = None) -> str:
    """As `as_text`, of what is `shown`."""
    header = ordinary(family.header(request.path), family) if family.header else ""
    begin = "" if family.begin is None else family.begin
    layout = (
        family.infill if len(request.parts) > 1 and family.infill else (begin, Placeholder.HEADER, Placeholder.PREFIX)
    )
    if (family.begin_added if begins is None else begins) and layout[0] == begin:
        layout = layout[1:]
    start = texts.before.rfind("\n") + 1 if Placeholder.LINE in layout else len(texts.before)
    filled = {
        Placeholder.HEADER: header,
        Placeholder.PREFIX: texts.before[:start],
        Placeholder.SUFFIX: texts.after,
        Placeholder.LINE: texts.before[start:],
    }
    return "".join(piece if isinstance(piece, str) else filled[piece] for piece in layout)


def _first(text: str, room: int) -> str:
    """The beginning of `text`, up to a line's end where that leaves the most of the room used."""
    if len(text) <= room:
        return text
    line = text.rfind("\n", 0, room) + 1
    return text[:line] if line > room // 2 else text[:room]


def _last(text: str, room: int) -> str:
    """The end of `text`, from a line's beginning where that leaves the most of the room used."""
    if len(text) <= room:
        return text
    least = len(text) - room
    line = text.find("\n", least - 1) + 1
    return text[line:] if 0 < line < len(text) - room // 2 else text[least:]
