"""The folders of the workspace: which one contains a document, and whether a settings file has changed."""

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
    """The local folders by the path in their URI, in the client's order. The first one determines the engine."""

    _paths: dict[str, Path] = field(default_factory=dict)
    _seen: dict[str, tuple[int, int] | None] = field(default_factory=dict)

    def begin(self, params: Any) -> None:
        """Adds the folders of an initialize request: its workspace folders, or its single root."""
        uris = [text(at(folder, "uri")) for folder in items(at(params, "workspaceFolders")) or ()]
        if not uris:
            root, path = text(at(params, "rootUri")), text(at(params, "rootPath"))
            uris = [root or (path and "file://" + ("" if path.startswith("/") else "/") + normal(path))]
        for uri in uris:
            self._add(uri)

    def change(self, params: Any) -> None:
        """Removes and adds the folders of a didChangeWorkspaceFolders notification."""
        for folder in items(at(params, "event", "removed")) or ():
            self._paths.pop(_uri_path(text(at(folder, "uri")) or ""), None)
        for folder in items(at(params, "event", "added")) or ():
            self._add(text(at(folder, "uri")))

    def settings_files(self) -> list[tuple[str, Path]]:
        """Each folder's path in its URI, with the path of its settings file."""
        return [(folder, path / FILE) for folder, path in self._paths.items()]

    def paths(self) -> list[Path]:
        """The folders on this machine's disk."""
        return list(self._paths.values())

    def containing(self, path: str) -> str | None:
        """The innermost folder that contains a document, or None. `path` is that in the document's URI."""
        parents = [folder for folder in self._paths if path == folder or path.startswith(folder.rstrip("/") + "/")]
        return max(parents, key=len, default=None)

    def changed(self) -> bool:
        """Whether a settings file was created, deleted or written since the last call."""
        before, self._seen = self._seen, {folder: _stamp(file) for folder, file in self.settings_files()}
        return before != self._seen

    def _add(self, uri: str | None) -> None:
        path = None if uri is None else local_path(uri)
        if uri is not None and path is not None:
            self._paths[_uri_path(uri)] = path


def _uri_path(uri: str) -> str:
    return parts(uri).path.rstrip("/") or "/"


def _stamp(file: Path) -> tuple[int, int] | None:
    """Modification time and size, or None for a file that does not exist."""
    try:
        stat = file.stat()
    except (OSError, ValueError):
        return None
    return stat.st_mtime_ns, stat.st_size
