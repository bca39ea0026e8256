"""What stands before the cursor: the names used there, how close they are, and the types that are written for them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from lacuna_server.syntax.grammars import Grammar
from lacuna_server.workspace.completed import completed
from lacuna_server.workspace.definitions import found_in
from lacuna_server.workspace.imports import Import, imports
from lacuna_server.workspace.queries import query

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

_WINDOW = 4000
"""Bytes before the cursor in which names count that are in no function or type around it."""
_MOST_BYTES = 256 * 1024
_OWN = re.compile(rb"^(self|this|\$this|cls)(\.|->)|^@|^\$")
_EXPRESSION = re.compile(rb"[^\W\d]\w*(?:(?:\.|::|\\|->)[^\W\d]\w*)*")


class Nearness(IntEnum):
    """Where a name is used, as seen from the cursor."""

    LINE = 0
    FUNCTION = 1
    AROUND = 2


@dataclass(frozen=True, slots=True)
class Use:
    """A name that is used before the cursor, with what it is a member of: `("a.b", "c")` for `a.b.c`."""

    owner: str
    name: str
    nearness: Nearness
    offset: int


@dataclass(slots=True)
class Scene:
    """All that `related` knows of a text."""

    imports: list[Import]
    uses: list[Use]
    own_names: frozenset[str]
    """What the text itself defines."""
    types: dict[str, list[str]] = field(default_factory=dict)
    """The types written for a variable, an attribute or a parameter, as dotted names."""
    bases: list[str] = field(default_factory=list)
    """The types that the type around the cursor extends."""


def scene(before: str, grammar: Grammar) -> Scene | None:
    """Reads the text before the cursor. None if it is too long, or the language's grammar is missing."""
    source = before.encode(errors="replace")
    if len(source) > _MOST_BYTES:
        return None
    tree = completed(source, grammar)
    return None if tree is None else _read(tree, source, grammar)


def _read(tree: Tree, source: bytes, grammar: Grammar) -> Scene:
    found = found_in(tree, source, grammar)
    last = len(source.rstrip()) - 1
    around = [one for one in found if one.span.start <= last < one.span.end and one.role != "constant"]
    functions = [one.span.start for one in around if one.role == "function"]
    types = [one.span.start for one in around if one.role in ("class", "scope")]
    line = max(source.rfind(b"\n"), source.rfind(b"\r")) + 1
    function = functions[-1] if functions else line
    start = min([*functions, *types, max(len(source) - _WINDOW, 0)])
    read = Scene(imports(tree, source, grammar), [], frozenset(one.name for one in found))
    _References(read, source, (line, function), types[-1] if types else None).read(tree, grammar, start)
    return read


class _References:
    """Sorts the matches of the query for references into a scene."""

    def __init__(self, into: Scene, source: bytes, near: tuple[int, int], enclosing: int | None) -> None:
        self._into, self._source, self._near, self._enclosing = into, source, near, enclosing
        self._passed: set[int] = set()
        """Where the names are that are read as part of others, or that mean nothing by themselves."""

    def read(self, tree: Tree, grammar: Grammar, start: int) -> None:
        """Reads the names from `start` to the end. A name at the very end is still being typed."""
        from tree_sitter import QueryCursor

        wanted = query(grammar, "references")
        assert wanted is not None
        cursor = QueryCursor(wanted)
        cursor.set_byte_range(start, max(len(self._source), 1))
        names = []
        for _, captures in cursor.matches(tree.root_node):
            if "name" in captures:
                names += captures["name"]
            elif "member" in captures:
                self._member(captures["object"][0], captures["member"][0])
            elif "typed" in captures:
                self._type(captures["typed"][0], captures["type"][0])
            elif "base" in captures:
                self._base(captures["base"][0])
            else:
                self._passed.update(node.start_byte for node in captures["ignored"])
        for node in names:
            if node.start_byte not in self._passed and self._is_typed_out(node):
                self._use("", self._text(node), node.start_byte)
        self._into.uses.sort(key=lambda use: use.offset)

    def _member(self, owner: Node, member: Node) -> None:
        self._passed.add(member.start_byte)
        name = self._text(member) if self._is_typed_out(member) else b""
        self._use(_OWN.sub(b"", self._text(owner)).decode(errors="replace"), name, owner.start_byte)

    def _type(self, typed: Node, kind: Node) -> None:
        names = _EXPRESSION.findall(_OWN.sub(b"", self._text(typed)).partition(b"=")[0]) or [b""]
        name = names[-1].decode(errors="replace")
        found = [one.decode(errors="replace") for one in _EXPRESSION.findall(self._text(kind))]
        known = self._into.types.setdefault(name, [])
        known += [one for one in found if one not in known]

    def _base(self, base: Node) -> None:
        enclosing = base.parent
        while enclosing is not None and enclosing.start_byte != self._enclosing:
            enclosing = enclosing.parent
        if enclosing is not None:
            self._into.bases += [one.decode(errors="replace") for one in _EXPRESSION.findall(self._text(base))]

    def _use(self, owner: str, name: bytes, offset: int) -> None:
        line, function = self._near
        nearness = Nearness.LINE if offset >= line else Nearness.FUNCTION if offset >= function else Nearness.AROUND
        self._into.uses.append(Use(owner, name.decode(errors="replace"), nearness, offset))

    def _text(self, node: Node) -> bytes:
        return self._source[node.start_byte : node.end_byte]

    def _is_typed_out(self, node: Node) -> bool:
        return node.end_byte < len(self._source)
