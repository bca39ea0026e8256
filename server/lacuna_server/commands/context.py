"""`lacuna context`: what of other files of the workspace the code at a cursor refers to, and why."""

from __future__ import annotations

import json
import re
from pathlib import Path

from lacuna_inference.errors import BadRequest
from lacuna_server.commands import source
from lacuna_server.commands.show import progress, stderr, stdout
from lacuna_server.core.admission import Rules, may_be_read
from lacuna_server.core.paths import normal
from lacuna_server.settings import Settings
from lacuna_server.workspace import Indexer, Place, RelatedDefinition, WorkspaceIndex, excerpts, related
from lacuna_server.workspace.grammars import GRAMMARS, grammar_for
from lacuna_server.workspace.index import shown_path

_PLACE = re.compile(r"(.+?):([0-9]{1,9})(?::([0-9]{1,9}))?")


def run(settings: Settings, place: str, root: Path | None, characters: int, as_json: bool) -> None:
    """Prints at most `characters` of what is defined elsewhere below `root`.

    Without a root, it is the folder of the Git repository, or else of the file. Raises BadRequest for a place that is
    not in a file of a known language.
    """
    cursor = _cursor(place)
    folder = (root.resolve() if root else _repository(Path(cursor.path))) or Path(cursor.path).parent
    rules = Rules(exclude=settings.exclude)
    index = WorkspaceIndex((folder,), may_be_read=lambda path: may_be_read(path, rules))
    _fill(index)
    found = related(cursor, index)
    _print_json(found, index, characters) if as_json else _print(found, index, characters)


def _cursor(place: str) -> Place:
    match = _PLACE.fullmatch(place)
    if match is None:
        raise BadRequest(f"{place!r} is not a place.", "Write FILE:LINE or FILE:LINE:COLUMN, both from 1.")
    file, line, column = match.groups()
    parts = source.read(file, f"{line}:{column or 1}").parts
    if grammar_for(file) is None:
        known = ", ".join(grammar.name for grammar in GRAMMARS)
        raise BadRequest(f"The language of {file} is not indexed.", f"Known: {known}.")
    return Place(normal(str(Path(file).resolve())), "", "".join(parts), len(parts[0]))


def _repository(file: Path) -> Path | None:
    """The nearest folder around `file` that is a Git repository."""
    return next((folder for folder in file.parents if (folder / ".git").exists()), None)


def _fill(index: WorkspaceIndex) -> None:
    indexer = Indexer(index)
    with progress("reading the workspace"):
        indexer.start()
        indexer.wait()
        indexer.close()
    if index.stats().is_full:
        stderr.print("The workspace is too large for the index: some of its files were left out.")


def _print(found: tuple[RelatedDefinition, ...], index: WorkspaceIndex, characters: int) -> None:
    """Prints the excerpts to stdout, and the reasons to stderr."""
    stats = index.stats()
    stderr.print(f"{stats.definitions} definitions in {stats.files} files of {index.roots[0]}")
    for one in found:
        definition = one.definition
        where = f"{shown_path(definition.path, index.roots)}:{definition.line}"
        stderr.print(f"{one.why.value}: {definition.kind} {definition.name} ({where})")
    for excerpt in excerpts(found, characters, index.roots):
        stdout.print(f"==> {excerpt.path} <==\n{excerpt.text}")
    if not found:
        stderr.print("nothing of other files is used before the cursor")


def _print_json(found: tuple[RelatedDefinition, ...], index: WorkspaceIndex, characters: int) -> None:
    stats = index.stats()
    content = {
        "root": normal(str(index.roots[0])),
        "files": stats.files,
        "definitions": stats.definitions,
        "is_full": stats.is_full,
        "related": [
            {
                "name": one.definition.name,
                "kind": one.definition.kind,
                "path": shown_path(one.definition.path, index.roots),
                "line": one.definition.line,
                "why": one.why.value,
            }
            for one in found
        ],
        "excerpts": [{"path": one.path, "text": one.text} for one in excerpts(found, characters, index.roots)],
    }
    print(json.dumps(content, indent=2))  # noqa: T201
