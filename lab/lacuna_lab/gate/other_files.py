"""What a model is shown of a project's other files at a place, as the language server chooses it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lacuna_inference.api import ContextFile
from lacuna_lab.evaluation.other_files import projects
from lacuna_lab.gate.places import Place
from lacuna_server.workspace import DocumentContexts
from lacuna_server.workspace import Place as Cursor


class OtherFiles:
    """The other files of projects, which are indexed when they are first needed."""

    def __init__(self, folders: Sequence[Path], characters: int) -> None:
        """At most `characters` of them are shown."""
        self._folders = [folder.resolve() for folder in folders]
        self._characters = characters
        self._contexts: dict[Path, DocumentContexts] = {}

    def at(self, place: Place) -> tuple[ContextFile, ...]:
        """The excerpts, chosen at the start of the cursor's line. Raises BadRequest for a project without code."""
        path = str(Path(place.path).resolve())
        folder = next((folder for folder in self._folders if Path(path).is_relative_to(folder)), None)
        if folder is None or not place.path:
            return ()
        line_start = place.before.rfind("\n") + 1
        cursor = Cursor(path, place.language, place.before + place.after, line_start)
        found = self._of(folder).wanted(path, cursor, self._characters, moved=0)
        return () if found is None else tuple(ContextFile(one.path, one.text) for one in found.files)

    def _of(self, folder: Path) -> DocumentContexts:
        if folder not in self._contexts:
            self._contexts[folder] = DocumentContexts(projects.read(folder).index)
        return self._contexts[folder]
