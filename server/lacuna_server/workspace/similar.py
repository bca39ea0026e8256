"""Code in other files that is like the code before the cursor: it shows how the project uses what it defines.

The answer depends only on the lines before that of the cursor, so typing in a line changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lacuna_server.core.paths import normal
from lacuna_server.workspace.excerpts import Excerpt
from lacuna_server.workspace.index import WorkspaceIndex, shown_path
from lacuna_server.workspace.references import Place

LINES_BEFORE = 12
"""Lines before that of the cursor that passages are compared with."""
_MOST = 12
"""Passages."""


def similar(place: Place, index: WorkspaceIndex, budget: int, roots: Sequence[Path] = ()) -> tuple[Excerpt, ...]:
    """At most `budget` characters of passages of other files, with their paths, the most alike last.

    The first one is cut if it alone is longer.
    """
    path = normal(place.path)
    chosen: list[Excerpt] = []
    room = budget
    for passage in index.like(_before(place), path, _MOST):
        excerpt = Excerpt(shown_path(passage.path, roots), passage.text.replace("\r\n", "\n").strip("\n") + "\n")
        length = len(excerpt.path) + len(excerpt.text)
        if length > room and chosen:
            break
        chosen.append(excerpt if length <= room else Excerpt(excerpt.path, _cut(excerpt.text, room)))
        room -= length
    return tuple(reversed([one for one in chosen if one.text]))


def _before(place: Place) -> str:
    """The lines before that of the cursor."""
    end = max(place.text.rfind("\n", 0, place.offset), place.text.rfind("\r", 0, place.offset)) + 1
    return "".join(place.text[:end].splitlines(keepends=True)[-LINES_BEFORE:])


def _cut(text: str, most: int) -> str:
    """The first lines of `text`, at most `most` characters of them."""
    return text[: text.rfind("\n", 0, max(0, most)) + 1]
