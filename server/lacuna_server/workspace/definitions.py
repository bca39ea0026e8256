"""What a text defines for other files: functions, types with their members, and constants, each as a short signature.

Pure: a text in, definitions out. A text that does not parse gives what can still be recognized. What is defined within
a function is left out, as no other file sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from lacuna_server.syntax.grammars import Grammar, parsed
from lacuna_server.workspace import signatures
from lacuna_server.workspace.queries import query
from lacuna_server.workspace.signatures import Span

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

MOST_CHARACTERS = 1200
"""Of a signature. A longer one is cut at the end of a line."""
_PART = 32 * 1024
_OVERLAP = 8 * 1024
"""Bytes. A match is found if what it needs of a definition, up to the start of its body, is within one part."""


class Kind(StrEnum):
    """What a definition defines."""

    FUNCTION = "function"
    METHOD = "method"
    CLASS = "class"
    """Any type."""
    CONSTANT = "constant"


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition in the file at `path`. `line` counts from 1.

    `signature` is source text without bodies, but with the first lines of the documentation; of a type it also has the
    public members. `parent` is the type that a method belongs to, else empty.
    """

    name: str
    kind: Kind
    path: str
    line: int
    signature: str
    parent: str = ""


@dataclass(slots=True)
class Found:
    """A match of the query for definitions, and what encloses it."""

    role: str
    name: str
    span: Span
    line: int
    parent: str = ""


_ROLES = ("function", "class", "scope", "constant", "field")
"""Of two matches for one node the first role counts."""


def definitions(text: str, path: str, grammar: Grammar) -> tuple[Definition, ...]:
    """The definitions in `text`, in its order; empty where the language's grammar is missing."""
    source = text.encode(errors="replace")
    tree = parsed(source, grammar)
    return () if tree is None else _definitions(source, _visible(found_in(tree, source, grammar)), path, grammar)


def found_in(tree: Tree, source: bytes, grammar: Grammar) -> list[Found]:
    """All matches of the query for definitions, outer ones before what is in them."""
    found: dict[tuple[int, int, str], Found] = {}
    for captures in _matches(tree, len(source), grammar):
        role = next(role for role in _ROLES if role in captures)
        one = _found(role, captures, source)
        key = (one.span.start, one.span.end, one.name)
        if key not in found or _rank(one) < _rank(found[key]):
            found[key] = one
    return sorted(found.values(), key=lambda one: (one.span.start, -one.span.end))


def _matches(tree: Tree, length: int, grammar: Grammar) -> Iterator[dict[str, list[Node]]]:
    """Matches, some of them twice: a long text is searched in parts, as other threads can run between two of them."""
    from tree_sitter import QueryCursor

    wanted = query(grammar, "definitions")
    assert wanted is not None
    for start in range(0, max(length, 1), _PART):
        cursor = QueryCursor(wanted)
        cursor.set_byte_range(start, start + _PART + _OVERLAP)
        for _, captures in cursor.matches(tree.root_node):
            yield captures


def _rank(found: Found) -> tuple[int, bool]:
    return _ROLES.index(found.role), found.span.body is None


def _found(role: str, captures: dict[str, list[Node]], source: bytes) -> Found:
    node = captures[role][0]
    body = captures["body"][0] if "body" in captures else None
    span = Span(node.start_byte, node.end_byte, body and body.start_byte)
    names = captures.get("name", ())
    name = source[names[0].start_byte : names[0].end_byte].decode(errors="replace") if names else ""
    parents = captures.get("parent", ())
    parent = source[parents[0].start_byte : parents[0].end_byte].decode(errors="replace") if parents else ""
    return Found(role, name, span, node.start_point[0] + 1, parent.rpartition("::")[2].partition("<")[0])


def _visible(found: Sequence[Found]) -> list[Found]:
    """Those of `found` that are not local to a function. Sets the types that they belong to."""
    enclosing: list[Found] = []
    visible = []
    for one in found:
        while enclosing and enclosing[-1].span.end <= one.span.start:
            enclosing.pop()
        functions = [outer for outer in enclosing if outer.role == "function"]
        types = [outer for outer in enclosing if outer.role in ("class", "scope")]
        is_own_field = one.role == "field" and bool(types) and len(functions) <= 1
        if not functions or is_own_field:
            one.parent = one.parent or (types[-1].name if types and one.role != "class" else "")
            visible.append(one)
        if one.role in ("function", "class", "scope"):
            enclosing.append(one)
    return visible


def _definitions(source: bytes, found: Sequence[Found], path: str, grammar: Grammar) -> tuple[Definition, ...]:
    members: dict[str, list[str]] = {}
    for one in found:
        if one.parent and one.role in ("function", "field", "constant"):
            line = signatures.member(source, one.span, grammar)
            if not signatures.is_private(one.name, line):
                members.setdefault(one.parent, []).append(line)
    made = []
    for one in found:
        if one.role in ("scope", "field") or not one.name or (one.role == "constant" and one.parent):
            continue
        if one.role == "class":
            kind, signature = Kind.CLASS, signatures.type_with(members.get(one.name, ()), source, one.span, grammar)
        elif one.role == "function":
            kind = Kind.METHOD if one.parent else Kind.FUNCTION
            signature = signatures.function(source, one.span, grammar)
        else:
            kind, signature = Kind.CONSTANT, signatures.constant(source, one.span)
        made.append(Definition(one.name, kind, path, one.line, signatures.cut(signature, MOST_CHARACTERS), one.parent))
    return tuple(made)
