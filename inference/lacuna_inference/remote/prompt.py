"""The text that a server is sent: truncated to its context, and as one text for servers without a suffix field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lacuna_inference.api import Request
from lacuna_inference.prompt.context_budget import for_answer, for_prompt
from lacuna_inference.prompt.families import Family, Placeholder
from lacuna_inference.remote.escaping import escaped, unescapes

CHARACTERS_PER_TOKEN = 3
"""Fewer than code has, so that the text fits."""


@dataclass(frozen=True, slots=True)
class ShownText:
    """The text before and after the hole with sentinels escaped, and how to unescape them."""

    before: str
    after: str
    unescapes: Mapping[str, str] = field(default_factory=dict)

    def unescape(self, text: str) -> str:
        """`text` of an answer, with the sentinels that it repeats unescaped."""
        for form, sentinel in self.unescapes.items():
            text = text.replace(form, sentinel)
        return text


def max_answer_tokens(request: Request, context: int) -> int:
    """Tokens that the answer may have, so that it fits into the context together with the text of `around`."""
    wanted = request.stop.max_tokens
    return for_answer(context, for_prompt(context, wanted), wanted)


def around(request: Request, context: int) -> tuple[str, str]:
    """The text before and after the hole, truncated at line ends to fit a context of `context` tokens."""
    room = max(64, for_prompt(context, request.stop.max_tokens)) * CHARACTERS_PER_TOKEN
    suffix = _first("".join(request.parts[1:]), room // 4)
    return _last(request.parts[0], room - len(suffix)), suffix


def shown(request: Request, family: Family | None, context: int) -> ShownText:
    """As `around`, with the sentinels of `family` escaped."""
    texts = around(request, context)
    before, after = (escaped(text, family) for text in texts)
    return ShownText(before, after, unescapes(texts, family))


def as_text(request: Request, family: Family, context: int, begins: bool | None = None) -> str:
    """The prompt with the family's sentinels spelled out; for models without any, the text before the hole.

    `begins` is whether the server adds the begin token itself; by default it does what the family's published tokenizer
    does.
    """
    return laid_out(shown(request, family, context), request, family, begins)


def laid_out(texts: ShownText, request: Request, family: Family, begins: bool | None = None) -> str:
    """As `as_text`, with the text of `shown`."""
    header = escaped(family.header(request.path), family) if family.header else ""
    if header and family.header_sentinel:
        header = family.header_sentinel + header
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
    return "".join(part if isinstance(part, str) else filled[part] for part in layout)


def _first(text: str, room: int) -> str:
    """The beginning of `text` that fits, up to a line's end if that uses more than half of the room."""
    if len(text) <= room:
        return text
    line = text.rfind("\n", 0, room) + 1
    return text[:line] if line > room // 2 else text[:room]


def _last(text: str, room: int) -> str:
    """The end of `text` that fits, from a line's beginning if that uses more than half of the room."""
    if len(text) <= room:
        return text
    start = len(text) - room
    line = text.find("\n", start - 1) + 1
    return text[line:] if 0 < line < len(text) - room // 2 else text[start:]
