"""`lacuna context`: what a model is shown of other files of the workspace at a cursor, and why."""

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
from lacuna_server.syntax.grammars import GRAMMARS, grammar_for
from lacuna_server.workspace import DocumentContext, DocumentContexts, Indexer, Place, Why, WorkspaceIndex
from lacuna_server.workspace.index import shown_path

_PLACE = re.compile(r"(.+?):([0-9]{1,9})(?::([0-9]{1,9}))?")


def run(settings: Settings, place: str, root: Path | None, characters: int, as_json: bool) -> None:
    """Prints what the language server would show of other files below `root`: at most `characters`.

    Without a root, it is the folder of the Git repository, or else of the file. Raises BadRequest for a place that is
    not in a file of a known language.
    """
    cursor = _cursor(place)
    folder = (root.resolve() if root else _repository(Path(cursor.path))) or Path(cursor.path).parent
    rules = Rules(exclude=settings.exclude)
    index = WorkspaceIndex((folder,), may_be_read=lambda path: may_be_read(path, rules))
    _fill(index)
    shown = DocumentContexts(index).wanted(cursor.path, cursor, characters, moved=0) or DocumentContext()
    _print_json(shown, index) if as_json else _print(shown, index)


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


def _print(shown: DocumentContext, index: WorkspaceIndex) -> None:
    """Prints the excerpts to stdout, and the reasons to stderr."""
    stats = index.stats()
    stderr.print(f"{stats.definitions} definitions in {stats.files} files of {index.roots[0]}")
    for one in shown.definitions:
        definition = one.definition
        where = f"{shown_path(definition.path, index.roots)}:{definition.line}"
        stderr.print(f"{one.why.value}: {definition.kind} {definition.name} ({where})")
    for passage in shown.passages:
        stderr.print(f"{Why.SIMILAR.value}: {passage.path}")
    for excerpt in shown.files:
        stdout.print(f"==> {excerpt.path} <==\n{excerpt.text}")
    if not shown.files:
        stderr.print("nothing of other files is used before the cursor or like the code there")


def _print_json(shown: DocumentContext, index: WorkspaceIndex) -> None:
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
            for one in shown.definitions
        ],
        "excerpts": [{"path": one.path, "text": one.text} for one in shown.excerpts],
        "passages": [{"path": one.path, "text": one.text} for one in shown.passages],
    }
    print(json.dumps(content, indent=2))  # noqa: T201
