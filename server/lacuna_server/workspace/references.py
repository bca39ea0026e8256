"""Which definitions of other files the code before the cursor refers to, best first.

The answer depends on nothing behind the cursor, and on no word that is still being typed. The definitions of the open
document itself are never part of it: the prompt has its text, and the index may have an older one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from lacuna_server.core.paths import normal
from lacuna_server.syntax.grammars import Grammar, Reach, grammar_for
from lacuna_server.workspace.definitions import Definition, Kind
from lacuna_server.workspace.imports import Import, Target, target
from lacuna_server.workspace.index import WorkspaceIndex
from lacuna_server.workspace.scene import Nearness, Scene, Use, scene

MOST = 24
"""Definitions."""
_MOST_SAME_NAME = 3
"""A name that more files define says too little."""
_MOST_OVERLOADS = 3
_SHORTEST_NAME = 3


class Why(Enum):
    """The reason why code of another file is shown; for definitions the strongest first."""

    ON_LINE = "used on this line"
    RECEIVER = "type of a receiver"
    IN_FUNCTION = "used in this function"
    IMPORTED = "imported"
    SAME_NAME = "same name"
    SIMILAR = "similar code"
    """Not a definition, but a passage."""


_RANKS = {why: rank for rank, why in enumerate(Why)}
_BY_NEARNESS = {Nearness.LINE: Why.ON_LINE, Nearness.FUNCTION: Why.IN_FUNCTION, Nearness.AROUND: Why.IMPORTED}


@dataclass(frozen=True, slots=True)
class Place:
    """A document and an offset in it, in code points. `language` is LSP's identifier, or empty."""

    path: str
    language: str
    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class RelatedDefinition:
    definition: Definition
    why: Why


def related(place: Place, index: WorkspaceIndex, most: int = MOST) -> tuple[RelatedDefinition, ...]:
    """The definitions in other files that the text before `place.offset` refers to, the most important first."""
    grammar = grammar_for(place.path, place.language)
    before = scene(place.text[: place.offset], grammar) if grammar else None
    if grammar is None or before is None:
        return ()
    found = _Found()
    _Resolver(normal(place.path), before, grammar, index).resolve_all(found)
    return found.best(most)


class _Found:
    """Definitions with their best reason and the last place that has it."""

    def __init__(self) -> None:
        self._ranks: dict[Definition, tuple[int, int]] = {}

    def add(self, definitions: Iterable[Definition], why: Why, offset: int) -> None:
        for one in definitions:
            rank = (_RANKS[why], -offset)
            self._ranks[one] = min(rank, self._ranks.get(one, rank))

    def best(self, most: int) -> tuple[RelatedDefinition, ...]:
        def key(one: Definition) -> tuple[tuple[int, int], str, int]:
            return self._ranks[one], one.path, one.line

        reasons = tuple(Why)
        return tuple(
            RelatedDefinition(one, reasons[self._ranks[one][0]]) for one in sorted(self._ranks, key=key)[:most]
        )


class _Resolver:
    """Resolves names as the document at `path` means them."""

    def __init__(self, path: str, before: Scene, grammar: Grammar, index: WorkspaceIndex) -> None:
        self._path, self._scene, self._grammar, self._index = path, before, grammar, index
        self._imports = {one.local: one for one in before.imports if not one.everything}
        self._wildcards = [self._target(one.module) for one in before.imports if one.everything]
        self._known: dict[str, list[Definition]] = {}

    def resolve_all(self, into: _Found) -> None:
        for use in self._scene.uses:
            self._resolve_use(use, into)
        for base in self._scene.bases:
            into.add(self._named(base), Why.RECEIVER, 0)
        for one in self._imports.values():
            if one.name:
                into.add(self._imported(one), Why.IMPORTED, 0)

    def _resolve_use(self, use: Use, into: _Found) -> None:
        if not use.owner:
            why = _BY_NEARNESS[use.nearness]
            is_imported = use.name in self._imports
            into.add(
                self._named(use.name), why if is_imported or why is not Why.IMPORTED else Why.SAME_NAME, use.offset
            )
            return
        if members := self._named(f"{use.owner}.{use.name}") if use.name else []:
            into.add(members, _BY_NEARNESS[use.nearness], use.offset)
        elif types := [found for name in self._scene.types.get(use.owner, ()) for found in self._named(name)]:
            into.add(types, Why.IMPORTED if use.nearness is Nearness.AROUND else Why.RECEIVER, use.offset)
        elif use.nearness is not Nearness.AROUND:
            into.add(self._only(use.name), Why.SAME_NAME, use.offset)

    def _named(self, expression: str) -> list[Definition]:
        """What a name means that may be dotted; a member that is not found means its owner."""
        if expression not in self._known:
            parts = _parts(expression)
            self._known[expression] = self._bare(parts[0]) if len(parts) == 1 else self._dotted(parts)
        return self._known[expression]

    def _dotted(self, parts: Sequence[str]) -> list[Definition]:
        for length in range(len(parts) - 1, 0, -1):
            one = self._imports.get(".".join(parts[:length]))
            if one is None:
                continue
            module = self._target(one.module)
            inner = module.inner(*filter(None, [one.name]), *parts[length:-1])
            return self._in_module(parts[-1], inner) or self._imported(one)
        if self._grammar.reach is Reach.EVERYWHERE:  # the parts before are namespaces
            found = self._bare(parts[-1])
            if found and found[0].kind is not Kind.METHOD:
                return found
        return self._bare(parts[0]) if parts[0][:1].isupper() else []

    def _bare(self, name: str) -> list[Definition]:
        if (one := self._imports.get(name)) is not None:
            return self._imported(one)
        if name in self._scene.own_names or name in self._scene.types or len(name) < _SHORTEST_NAME:
            return []
        for module in self._wildcards:
            if found := self._in_module(name, module):
                return found
        return self._unimported(name)

    def _imported(self, one: Import) -> list[Definition]:
        return self._in_module(one.name, self._target(one.module)) if one.name else []

    def _unimported(self, name: str) -> list[Definition]:
        """What a name means that the language finds by itself."""
        if self._grammar.reach is Reach.OWN_FILE:
            return []
        if self._grammar.reach is Reach.FOLDER:
            folder = self._path.rpartition("/")[0]
            return _overloads([one for one in self._lookup(name) if one.path.rpartition("/")[0] == folder])
        return self._only(name) if self._index.count(name) <= _MOST_SAME_NAME else []

    def _only(self, name: str) -> list[Definition]:
        """The definition of a name that only one other file has."""
        if len(name) < _SHORTEST_NAME or self._index.count(name) > _MOST_SAME_NAME:
            return []
        found = self._lookup(name)
        return _overloads(found) if len({one.path for one in found}) == 1 else []

    def _in_module(self, name: str, module: Target) -> list[Definition]:
        found = [(module.fit(one.path), one) for one in self._lookup(name) if one.kind is not Kind.METHOD]
        best = max((fit for fit, _ in found), default=0)
        return _overloads([one for fit, one in found if fit == best]) if best else []

    def _lookup(self, name: str) -> list[Definition]:
        """The definitions of a name in other files of the language, the nearest first."""
        return [one for one in self._index.lookup(name, near=self._path) if self._may_mean(one)]

    def _may_mean(self, one: Definition) -> bool:
        grammar = grammar_for(one.path)
        return one.path != self._path and grammar is not None and grammar.family == self._grammar.family

    def _target(self, module: str) -> Target:
        return target(module, self._path, self._grammar)


def _overloads(found: Sequence[Definition]) -> list[Definition]:
    """Those of `found` that are in the first file."""
    return [one for one in found if one.path == found[0].path][:_MOST_OVERLOADS]


def _parts(expression: str) -> list[str]:
    return expression.replace("::", ".").replace("->", ".").replace("\\", ".").split(".")
