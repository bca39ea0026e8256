"""Code in other files that is like the code before the cursor: it shows how the project uses what it defines.

It has the names of the last lines, and those that are imported and not used yet. The answer depends only on the lines
before that of the cursor, so typing in a line changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lacuna_server.core.paths import normal
from lacuna_server.syntax.grammars import Grammar, grammar_for, parsed
from lacuna_server.workspace.excerpts import Excerpt
from lacuna_server.workspace.imports import imports
from lacuna_server.workspace.index import WorkspaceIndex, shown_path
from lacuna_server.workspace.passages import names
from lacuna_server.workspace.references import Place

_LINES, _DECAY = 12, 0.85
"""Lines before that of the cursor whose names count, and how much less each does than the next one."""
_MOST = 16
"""Passages."""
_MOST_CHARACTERS = 256 * 1024
"""Of a text whose imports are looked for."""


def similar(place: Place, index: WorkspaceIndex, budget: int, roots: Sequence[Path] = ()) -> tuple[Excerpt, ...]:
    """At most `budget` characters of passages of other files, with their paths, the most alike last.

    The first one is cut if it alone is longer.
    """
    path = normal(place.path)
    grammar = grammar_for(path, place.language)
    if grammar is None:
        return ()
    chosen: list[Excerpt] = []
    room = budget
    for passage in index.like(_wanted(_before(place), grammar), path, _MOST):
        excerpt = Excerpt(shown_path(passage.path, roots), passage.text.replace("\r\n", "\n").strip("\n") + "\n")
        length = len(excerpt.path) + len(excerpt.text)
        if length > room and chosen:
            break
        chosen.append(
            excerpt if length <= room else Excerpt(excerpt.path, _cut(excerpt.text, room - len(excerpt.path)))
        )
        room -= length
    return tuple(reversed([one for one in chosen if one.text]))


def _before(place: Place) -> str:
    """The lines before that of the cursor."""
    end = max(place.text.rfind("\n", 0, place.offset), place.text.rfind("\r", 0, place.offset)) + 1
    return place.text[:end]


def _wanted(before: str, grammar: Grammar) -> dict[str, float]:
    """The names of the last lines, the more the nearer they are, and the imported ones that nothing uses yet."""
    wanted: dict[str, float] = {}
    for distance, line in enumerate(reversed(before[-_MOST_CHARACTERS:].splitlines()[-_LINES:])):
        for name in names(line):
            wanted.setdefault(name, _DECAY**distance)
    return wanted | dict.fromkeys(_unused(before, grammar), 1.0)


def _unused(before: str, grammar: Grammar) -> list[str]:
    """The names that a text imports and does not have again."""
    source = before.encode(errors="replace")
    tree = parsed(source, grammar) if len(before) <= _MOST_CHARACTERS else None
    if tree is None:
        return []
    imported = {one.local for one in imports(tree, source, grammar)}
    return [name for name in imported if name in names(name) and _is_once(name, before)]


def _is_once(name: str, text: str) -> bool:
    return len(re.findall(rf"\b{re.escape(name)}\b", text)) == 1


def _cut(text: str, most: int) -> str:
    """The first lines of `text`, at most `most` characters of them."""
    return text[: text.rfind("\n", 0, max(0, most)) + 1]
