"""Holes before names that another file of the project defines, and that the model cannot copy from nearby.

What is cut does not depend on what `lacuna_server.workspace.related` finds: a name counts if another file of the
language defines it, few do, the file with the hole does not, and it is imported or a member of something where the
language wants that. The same project and seed give the same holes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lacuna_lab.evaluation.other_files.names import RECEIVER, Name, names
from lacuna_lab.evaluation.other_files.projects import Project, text_of
from lacuna_server.syntax.grammars import Grammar, grammar_for
from lacuna_server.workspace import WorkspaceIndex

NEARBY = 30
"""Lines. A name within so many lines of the hole could be copied."""
_MOST_FILES = 2
"""That define a name: more of them define one that means many things."""
_LONGEST_LINE, _LONGEST_FILE = 120, 200_000


class Occurrence(StrEnum):
    """Where else the file with the hole has the name."""

    NEW = "new"
    """Nowhere before the hole but in imports."""
    FAR = "far"
    """Before the hole, but not nearby."""


@dataclass(frozen=True, slots=True)
class NamedHole:
    """The rest of a line with a `name` that another file defines. `name_at` is the name's offset in `truth`.

    `path` is absolute, with slashes. The text before the hole, `truth` and the text behind it make up the file.
    """

    project: Project
    path: str
    language: str
    prefix: str
    truth: str
    suffix: str
    name: str
    name_at: int
    occurrence: Occurrence


def holes(projects: Sequence[Project], files: int, per_file: int, seed: int) -> list[NamedHole]:
    """At most `per_file` holes from each of `files` files that have some, taken from the projects in rotation."""
    queues = [_holes_of_files(project, per_file, seed) for project in projects]
    found: list[list[NamedHole]] = []
    while queues and len(found) < files:
        for queue in tuple(queues):
            of_file = next(queue, None)
            if of_file is None:
                queues.remove(queue)
            elif len(found) < files:
                found.append(of_file)
    return [hole for of_file in found for hole in of_file]


def _holes_of_files(project: Project, per_file: int, seed: int) -> Iterator[list[NamedHole]]:
    """The holes of each file that has some, the files in random order."""
    paths = list(project.files)
    random.Random(seed).shuffle(paths)
    for path in paths:
        rng = random.Random(f"{seed} {project.shown(path)}")
        if found := _in_file(project, path, per_file, rng):
            yield found


def _in_file(project: Project, path: str, most: int, rng: random.Random) -> list[NamedHole]:
    """New names come before far ones, each name and each line once."""
    grammar, text = grammar_for(path), text_of(path)
    if grammar is None or not text or len(text) > _LONGEST_FILE:
        return []
    found = names(text, path, grammar, project.indexed)
    own = {one.name for one in project.index.in_file(path)}
    candidates: list[NamedHole] = []
    for name in found.all:
        if name.text in own or not found.may_be_elsewhere(name, grammar):
            continue
        if _is_elsewhere(name.text, path, grammar, project.index) and (occurrence := _occurrence(name, found.all)):
            candidates += filter(None, [_hole(project, path, text, name, occurrence, rng)])
    rng.shuffle(candidates)
    chosen: dict[tuple[str, int], NamedHole] = {}
    for hole in sorted(candidates, key=lambda hole: hole.occurrence is Occurrence.FAR):
        line = hole.prefix.count("\n")
        if not any(hole.name == name or line == other for name, other in chosen):
            chosen[hole.name, line] = hole
    return list(chosen.values())[:most]


def _is_elsewhere(name: str, path: str, grammar: Grammar, index: WorkspaceIndex) -> bool:
    if not 1 <= index.count(name) <= _MOST_FILES:
        return False
    grammars = [grammar_for(one.path) for one in index.lookup(name, path)]
    return all(one is not None and one.family == grammar.family for one in grammars)


def _occurrence(name: Name, names: Sequence[Name]) -> Occurrence | None:
    """Where else the text has `name`; None if it is nearby."""
    others = [one for one in names if one.text == name.text and one.start != name.start and not one.imported]
    if any(abs(one.line - name.line) <= NEARBY for one in others):
        return None
    return Occurrence.FAR if any(one.start < name.start for one in others) else Occurrence.NEW


def _hole(
    project: Project, path: str, text: str, name: Name, occurrence: Occurrence, rng: random.Random
) -> NamedHole | None:
    """The rest of the name's line from the name, or from what it is a member of. Some text must stay before it."""
    line = text.rfind("\n", 0, name.start) + 1
    end = text.find("\n", name.start)
    end = len(text) if end < 0 else end
    receiver = RECEIVER.search(text, line, name.start)
    starts = [name.start, *([receiver.start()] if receiver else [])]
    start = rng.choice([one for one in starts if text[line:one].strip()] or [0])
    truth = text[start:end].rstrip()
    if not start or end - line > _LONGEST_LINE or not truth:
        return None
    grammar = grammar_for(path)
    language = grammar.name if grammar else ""
    at = name.start - start
    return NamedHole(project, path, language, text[:start], truth, text[end:], name.text, at, occurrence)
