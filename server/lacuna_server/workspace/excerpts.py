"""Related definitions as source code, an excerpt for each file, within a budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from lacuna_server.syntax.grammars import Grammar, grammar_for
from lacuna_server.workspace.definitions import Definition, Kind
from lacuna_server.workspace.index import shown_path
from lacuna_server.workspace.references import RelatedDefinition


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Definitions of one file in its own syntax. `path` is relative to its root folder."""

    path: str
    text: str


def excerpts(found: Sequence[RelatedDefinition], budget: int, roots: Sequence[Path] = ()) -> tuple[Excerpt, ...]:
    """At most `budget` characters of `found`, which has the best first, with their paths."""
    return rendered(fitting(found, budget, roots), roots)


def fitting(found: Sequence[RelatedDefinition], budget: int, roots: Sequence[Path] = ()) -> list[RelatedDefinition]:
    """The best of `found`, which has the best first, whose excerpts take at most `budget` characters."""
    chosen: list[RelatedDefinition] = []
    for one in found:
        if _is_in_type(one, chosen):
            continue
        wider = [*(other for other in chosen if not _is_in_type(other, [one])), one]
        if sum(len(excerpt.path) + len(excerpt.text) for excerpt in rendered(wider, roots)) <= budget:
            chosen = wider
    return chosen


def rendered(chosen: Iterable[RelatedDefinition], roots: Sequence[Path] = ()) -> tuple[Excerpt, ...]:
    """An excerpt for each file.

    They are in the order of their paths, and the definitions in that of their lines: so a definition more or less
    leaves the others where they are.
    """
    ordered = sorted((related.definition for related in chosen), key=lambda one: (one.path, one.line))
    made = []
    for path, inside in groupby(ordered, key=lambda one: one.path):
        grammar = grammar_for(path)
        assert grammar is not None
        pieces = [
            _piece(parent, list(members), grammar) for parent, members in groupby(inside, key=lambda one: one.parent)
        ]
        made.append(Excerpt(shown_path(path, roots), "\n".join(pieces)))
    return tuple(made)


def as_comment(excerpt: Excerpt, language: str) -> str:
    """An excerpt as a comment in a file in `language`, its path first. A language without a grammar gets `//`."""
    grammar = grammar_for(excerpt.path if not language else "", language)
    mark = grammar.comment if grammar else "//"
    lines = [f"{excerpt.path}:", *excerpt.text.rstrip("\n").split("\n")]
    return "".join(f"{mark} {line}".rstrip() + "\n" for line in lines)


def _piece(parent: str, members: Sequence[Definition], grammar: Grammar) -> str:
    """Definitions with the same parent, or without one."""
    opening, closing = grammar.enclosing
    if not parent or not opening:
        return "".join(f"{one.signature}\n" for one in members)
    inner = "".join("    " + one.signature.replace("\n", "\n    ") + "\n" for one in members)
    return f"{opening.format(parent)}\n{inner}" + (f"{closing}\n" if closing else "")


def _is_in_type(related: RelatedDefinition, others: Iterable[RelatedDefinition]) -> bool:
    """Whether a method's type is among `others`: its members are shown with it."""
    one = related.definition
    return one.kind is Kind.METHOD and any(
        (other := found.definition).kind is Kind.CLASS and (other.path, other.name) == (one.path, one.parent)
        for found in others
    )
