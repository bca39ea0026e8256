"""The folders of the workspace: which one a document is in, and whether the settings file of one has changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lacuna_server.core.paths import normal
from lacuna_server.lsp.reading import at, items, text
from lacuna_server.lsp.uris import local_path, parts
from lacuna_server.settings import FILE


@dataclass
class Folders:
    """The local folders by their paths as URIs have them, in the client's order; the first one has the engine."""

    _paths: dict[str, Path] = field(default_factory=dict)
    _seen: dict[str, tuple[int, int] | None] = field(default_factory=dict)

    def begin(self, params: Any) -> None:
        """Takes the folders of an initialize request: its workspace folders, or its one root."""
        found = [text(at(folder, "uri")) for folder in items(at(params, "workspaceFolders")) or ()]
        if not found:
            root, path = text(at(params, "rootUri")), text(at(params, "rootPath"))
            found = [root or (path and "file://" + ("" if path.startswith("/") else "/") + normal(path))]
        for uri in found:
            self._add(uri)

    def change(self, params: Any) -> None:
        """Takes the folders that came and went in a notification that they changed."""
        for folder in items(at(params, "event", "removed")) or ():
            self._paths.pop(_place(text(at(folder, "uri")) or ""), None)
        for folder in items(at(params, "event", "added")) or ():
            self._add(text(at(folder, "uri")))

    def settings_files(self) -> list[tuple[str, Path]]:
        """Each folder with the place of its settings file."""
        return [(place, path / FILE) for place, path in self._paths.items()]

    def holding(self, place: str) -> str | None:
        """The innermost folder of a document; None for one that is in none."""
        inside = [folder for folder in self._paths if place == folder or place.startswith(folder.rstrip("/") + "/")]
        return max(inside, key=len, default=None)

    def changed(self) -> bool:
        """Whether a settings file came, went or was written since this was asked last."""
        before, self._seen = self._seen, {place: _stamp(file) for place, file in self.settings_files()}
        return before != self._seen

    def _add(self, uri: str | None) -> None:
        path = None if uri is None else local_path(uri)
        if uri is not None and path is not None:
            self._paths[_place(uri)] = path


def _place(uri: str) -> str:
    return parts(uri).path.rstrip("/") or "/"


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size
