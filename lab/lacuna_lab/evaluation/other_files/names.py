"""The names in a source text, and which of them may mean what another file of the project defines."""

from __future__ import annotations

import builtins
import logging
import re
import sys
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lacuna_server.syntax.grammars import Grammar, Reach, parsed
from lacuna_server.workspace.imports import Import, imports, target

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

SHORTEST = 5
_MEMBER, _SET = re.compile(r"(?:\.|::|->)$"), re.compile(r"\s*:?=(?!=)")
RECEIVER = re.compile(r"(?:[^\W\d]\w*(?:\.|::|->))+$")
"""What the name behind it is a member of."""
_IMPORTS = ("import", "use_declaration", "using", "preproc_include", "namespace_use", "package")
_KNOWN_IN_PYTHON = frozenset(
    name
    for owner in (builtins, str, bytes, list, dict, set, int, Path, re.Pattern, re.Match, logging.Logger, BaseException)
    for name in dir(owner)
)
"""Names that a Python file most likely has from Python itself."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name in a text; offsets in code points, lines from 0."""

    text: str
    start: int
    line: int
    imported: bool

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Names:
    """The `all` names of the text of a file, in its order, without those in comments and strings.

    `imported` are those that it imports, `foreign` those of them that are from outside of the project.
    """

    text: str
    all: tuple[Name, ...]
    imported: frozenset[str]
    foreign: frozenset[str]

    def may_be_elsewhere(self, name: Name, grammar: Grammar) -> bool:
        """Whether `name` may mean what another file defines: not a variable, an argument, or something of a library."""
        if name.imported or len(name.text) < SHORTEST or _SET.match(self.text, name.end):
            return False
        if grammar.indents and name.text in _KNOWN_IN_PYTHON:
            return False
        if not _MEMBER.search(self.text, max(0, name.start - 2), name.start):
            return name.text not in self.foreign and (name.text in self.imported or grammar.reach is not Reach.OWN_FILE)
        receiver = RECEIVER.search(self.text, self.text.rfind("\n", 0, name.start) + 1, name.start)
        return receiver is None or re.split(r"\W+", receiver[0])[0] not in self.foreign


def names(text: str, path: str, grammar: Grammar, files: Collection[str]) -> Names:
    """The names of the text of the file at `path`, in a project with `files`; none without the language's grammar."""
    source = text.encode(errors="replace")
    tree = parsed(source, grammar)
    if tree is None:
        return Names(text, (), frozenset(), frozenset())
    found = _identifiers(tree, text, source)
    foreign = {one.local for one in imports(tree, source, grammar) if _is_foreign(one, path, grammar, files)}
    return Names(text, tuple(found), frozenset(one.text for one in found if one.imported), frozenset(foreign))


def _is_foreign(one: Import, path: str, grammar: Grammar, files: Collection[str]) -> bool:
    """Whether no file of the project is what is imported."""
    if grammar.indents and one.module.partition(".")[0] in sys.stdlib_module_names:
        return True
    module = target(one.module, path, grammar)
    return not any(module.fit(file) for file in files)


def _identifiers(tree: Tree, text: str, source: bytes) -> list[Name]:
    characters = _Offsets(text)
    found = []
    nodes: list[tuple[Node, bool]] = [(tree.root_node, False)]
    while nodes:
        node, imported = nodes.pop()
        if node.child_count:
            inside = imported or node.type.startswith(_IMPORTS)
            nodes += [(child, inside) for child in reversed(node.children)]
        elif node.type.endswith(("identifier", "constant")) or (node.type == "name" and node.is_named):
            start = characters.at(node.start_byte)
            word = source[node.start_byte : node.end_byte].decode(errors="replace")
            found.append(Name(word, start, node.start_point[0], imported))
    return found


class _Offsets:
    """From offsets in UTF-8 to offsets in code points."""

    def __init__(self, text: str) -> None:
        self._is_ascii = text.isascii()
        self._starts = [0]
        if not self._is_ascii:
            for character in text:
                self._starts.append(self._starts[-1] + len(character.encode(errors="replace")))

    def at(self, byte: int) -> int:
        return byte if self._is_ascii else bisect_right(self._starts, byte) - 1
