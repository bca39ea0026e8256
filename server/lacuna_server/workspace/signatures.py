"""Short forms of definitions: source text in which bodies are left out. Works on bytes, as syntax trees count them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lacuna_server.syntax.grammars import Grammar

_MOST_MEMBER = 160
_MOST_CONSTANT = 200
_MOST_LINE = 100
_DOCUMENTATION_LINES = 3
_LOOK_ABOVE = 1200
_DOCSTRING = re.compile(rb"\s*[rRuU]?(\"\"\"|'''|\"|')(.*?)\1", re.DOTALL)
_BLANKS = re.compile(r"\s+")
_MODIFIERS = re.compile(rb"[\w \t]*")
_COMMENTS = {"//": ("//", "/*", "*"), "#": ("#",)}
_ATTRIBUTE = ("@", "#[", "template<", "template <")
_PROPERTIES = (b"@property", b"@cached_property", b"@functools.cached_property")
_LICENCE = ("copyright", "spdx", "licen")


class Span(NamedTuple):
    """Offsets of a definition in bytes, and of its body, if it has one."""

    start: int
    end: int
    body: int | None = None


def function(source: bytes, span: Span, grammar: Grammar) -> str:
    """The header of a function with its documentation, and a mark for its body."""
    above, header = _header(source, span, grammar)
    if span.body is None:
        return above + header
    if grammar.indents:
        documentation = _docstring(source, span.body)
        return above + header + (f'\n    """{documentation}"""\n   ' if documentation else "") + grammar.body
    return above + header + grammar.body


def type_with(members: Sequence[str], source: bytes, span: Span, grammar: Grammar) -> str:
    """The header of a type with its documentation and `members`."""
    above, header = _header(source, span, grammar)
    if span.body is None:
        return above + header
    inner = list(dict.fromkeys(members))
    if grammar.indents and (documentation := _docstring(source, span.body)):
        inner.insert(0, f'"""{documentation}"""')
    if not inner:
        return above + header + grammar.body
    opening, closing = ("", "") if grammar.indents else ("", "\nend") if grammar.name == "ruby" else (" {", "\n}")
    return above + header + opening + "".join(f"\n    {line}" for line in inner) + closing


def member(source: bytes, span: Span, grammar: Grammar) -> str:
    """An attribute or a method of a type, in one line."""
    start = _line_start(source, span.start)
    if grammar.indents and source[:start].rstrip().endswith(_PROPERTIES):
        return "@property\n    " + _BLANKS.sub(" ", _text(source[start : span.body])) + grammar.body.strip()
    header = _BLANKS.sub(" ", _text(source[start : span.body or span.end])).strip()
    if span.body is None and source[span.end : span.end + 1] in (b";", b","):
        header += source[span.end : span.end + 1].decode()
    if len(header) > _MOST_MEMBER:
        return header[:_MOST_MEMBER].rpartition(" ")[0] + " ..."
    if span.body is None or grammar.name == "ruby":
        return header
    return header + (grammar.body if grammar.indents else ";")


def constant(source: bytes, span: Span) -> str:
    """A constant with the beginning of its value."""
    text = _text(source[_line_start(source, span.start) : span.end]).strip()
    return text if len(text) <= _MOST_CONSTANT else text[:_MOST_CONSTANT].rstrip() + " ..."


def cut(text: str, most: int) -> str:
    """At most about `most` characters of `text`, whole lines and a mark for the rest."""
    if len(text) <= most:
        return text
    return (text[:most].rpartition("\n")[0] or text[:most]) + "\n    ..."


def is_private(name: str, member: str) -> bool:
    """Whether a member's name or first modifier says that other files do not use it."""
    hidden = name.startswith(("_", "#")) and name not in ("__init__", "__call__", "__construct")
    return hidden or member.startswith("private ")


def _header(source: bytes, span: Span, grammar: Grammar) -> tuple[str, str]:
    """What stands above a definition and belongs to it, and its text without the body."""
    start = _line_start(source, span.start)
    end = span.end if span.body is None else span.body
    lines = _text(source[start:end]).rstrip().split("\n")
    header = "\n".join([lines[0], *_dedented(lines[1:], _indentation(source, start))])
    return _above(source, start, grammar), header if span.body is None else header.rstrip(" \n{")


@dataclass(slots=True)
class _Above:
    documentation: list[str]
    attributes: list[str]


def _above(source: bytes, start: int, grammar: Grammar) -> str:
    """The short attributes and the first lines of the comment directly above the line of `start`."""
    begin = source.rfind(b"\n", 0, start) + 1
    lines = _text(source[max(begin - _LOOK_ABOVE, 0) : begin]).split("\n")[:-1]
    above = _Above([], [])
    for line in reversed(lines):
        text = line.strip()
        if text.startswith(_ATTRIBUTE):
            above.attributes.append(text)
        elif text.startswith(_COMMENTS[grammar.comment]) and not grammar.indents:
            above.documentation.append(text)
        else:
            break
    attributes = [line for line in reversed(above.attributes) if len(line) <= _MOST_LINE]
    return "".join(f"{line}\n" for line in [*_first_lines(above.documentation[::-1]), *attributes])


def _first_lines(comment: Sequence[str]) -> list[str]:
    """The first lines of a comment, closed; none of a licence."""
    if any(word in line.lower() for line in comment for word in _LICENCE):
        return []
    kept = list(comment[:_DOCUMENTATION_LINES])
    if len(comment) > len(kept) and kept[0].startswith("/*"):
        kept = [line for line in kept if line != "*"]
        kept.append("*/")
    return [" " + line if line.startswith("*") else line for line in kept]


def _docstring(source: bytes, body: int) -> str:
    """The first paragraph of the docstring that begins a body, at most three lines of it; empty without one."""
    match = _DOCSTRING.match(source, body, body + _LOOK_ABOVE)
    if match is None:
        return ""
    paragraph = _text(match[2]).strip().partition("\n\n")[0].split("\n")
    return "\n    ".join(line.strip() for line in paragraph[:_DOCUMENTATION_LINES])


def _line_start(source: bytes, start: int) -> int:
    """Where the line of `start` begins behind its indentation, if only modifiers come before."""
    line = source.rfind(b"\n", 0, start) + 1
    before = source[line:start]
    if len(before) > _MOST_LINE or not _MODIFIERS.fullmatch(before):
        return start
    return start - len(before.lstrip())


def _indentation(source: bytes, start: int) -> int:
    return start - (source.rfind(b"\n", 0, start) + 1)


def _dedented(lines: Sequence[str], indentation: int) -> list[str]:
    return [line[min(indentation, len(line) - len(line.lstrip())) :].rstrip() for line in lines]


def _text(source: bytes) -> str:
    return source.decode(errors="replace").replace("\r\n", "\n")
