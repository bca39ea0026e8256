"""A folder with a project: its index, and the files in which holes are cut. Knows nothing of models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lacuna_inference.errors import BadRequest
from lacuna_server.core.paths import normal
from lacuna_server.workspace import WorkspaceIndex
from lacuna_server.workspace.ignored import source_text
from lacuna_server.workspace.index import shown_path

_TEST = re.compile(
    r"(^|/)(tests?|testing|__tests__|testdata|fixtures|examples?|docs?|benchmarks?|migrations)/"
    r"|(^|/)(test_|conftest\b)[^/]*$|(_test|_tests|\.test|\.spec|Tests?|\.d)\.\w+$"
)
"""Paths of code that shows, tests or feeds other code. What it repeats from file to file is no matter of context."""


@dataclass(frozen=True, slots=True)
class Project:
    """A folder and what its `indexed` files define; holes are cut in `files`. Paths are absolute, with slashes."""

    root: Path
    index: WorkspaceIndex
    indexed: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.root.name

    def shown(self, path: str) -> str:
        """`path` as seen from the project's folder."""
        return shown_path(path, [self.root])


def read(folder: Path) -> Project:
    """Indexes `folder` as the language server does. Raises BadRequest if nothing in it defines anything."""
    if not folder.is_dir():
        raise BadRequest(f"{folder} is not a folder.", "Name a project's folder with --other-files.")
    root = folder.resolve()
    index = WorkspaceIndex((root,))
    paths = index.files_below(root)
    known = [path for path in paths if index.update(path)]
    if not index.stats().definitions:
        raise BadRequest(f"No file in {folder} defines anything in a language that is indexed.", "Name another folder.")
    files = tuple(path for path in known if not _TEST.search(shown_path(path, [root])))
    return Project(root, index, tuple(known), files)


def text_of(path: str) -> str:
    """The text of an indexed file, with LF line ends."""
    return (source_text(normal(path)) or "").replace("\r\n", "\n").replace("\r", "\n")
