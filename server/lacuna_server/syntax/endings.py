"""How a text that ends anywhere may go on: what closes its brackets and strings, and ends its statement."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product

from lacuna_server.syntax.grammars import Grammar
from lacuna_server.syntax.opened import Opened

_WANTS_MORE = re.compile(
    r"(?:[.(\[,=+\-*/%<>&|^!?@:~\\{]|\b(?:in|is|not|and|or|return|import|if|else|new|as|await|from))\s*$"
)
"""Behind these an expression, or the rest of one, has to follow."""
_FILLERS = {
    "python": (" x", ""),
    "rust": (" x", "", " x: x"),
    "ruby": (" x", ""),
    "go": (" x", "", " x x"),
    "php": (" $x", ""),
    "typescript": (" x", "", " x: x"),
    "typescriptreact": (" x", "", " x: x"),
}
_ENDS = {"python": ("", ":\n{0} pass"), "ruby": ("", "\nend", "\nend\nend", "\nend\nend\nend")}
_ENDS_LINE = re.compile(r"#|//|\\$")
"""In lines that nothing can be put behind."""
_INDENT = re.compile(r"[ \t]*")
_UNFINISHED = re.compile(r"^([ \t]*)(try\s*:|@)", re.MULTILINE)


def endings(line: str, open_: Sequence[Opened], line_start: int, grammar: Grammar) -> Iterator[str]:
    """What may follow a text that ends with `line` and leaves `open_` open, each once; the first is nothing.

    What was opened from the position `line_start` on is closed. What was open before may be closed by text that
    follows; if it is not, only Python is read.
    """
    yield ""
    yield from (ending for ending in dict.fromkeys(_endings(line, open_, line_start, grammar)) if ending)


def _endings(line: str, open_: Sequence[Opened], line_start: int, grammar: Grammar) -> Iterator[str]:
    own = sum(one.position >= line_start for one in open_)
    counts = (own, len(open_)) if grammar.indents else (own,)
    closings = dict.fromkeys("".join(one.closer for one in open_[::-1][:count]) for count in counts)
    wants_more = bool(_WANTS_MORE.search(line))
    fillers = _FILLERS.get(grammar.name, (" x", "", " int x"))
    fillers = fillers if wants_more else ("", *(fillers if open_ else ()))
    last = line.rstrip().rpartition("\n")[2]
    indent = _INDENT.match(last)
    indentation = indent.group() if indent else ""
    if grammar.indents:
        yield from _rest_of_blocks(line, indentation)
    ends = [end.format(indentation) for end in _ENDS.get(grammar.name, ("", ";", " {}"))]
    start = "\n" if _ENDS_LINE.search(last) else ""
    for closing, filler, end in product(closings, dict.fromkeys(fillers), ends):
        yield f"{start}{filler}{closing}{end}"


def _rest_of_blocks(lines: str, indentation: str) -> Iterator[str]:
    """What has to follow the beginnings of blocks in Python, at the end of `lines`."""
    last = lines.rstrip()
    if last.endswith(":"):
        yield f"\n{indentation}    pass"
    elif last.endswith("\\"):
        yield f"\n{indentation} x"
    for match in reversed(list(_UNFINISHED.finditer(lines))):
        if match[2] == "@":
            yield f"\n{match[1]}def x(): pass"
        else:
            body = f"\n{indentation}    pass" if last.endswith(":") else ""
            yield f"{body}\n{match[1]}finally:\n{match[1]}    pass"
