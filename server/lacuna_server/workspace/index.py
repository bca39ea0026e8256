"""All definitions of a workspace by name, and its source text: compact, bounded, and safe to use from several threads.

It keeps no syntax trees. The signatures of a file are one string of bytes, and so is its text, in which passages like
another text are found.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern

from lacuna_server.core.paths import normal
from lacuna_server.syntax.grammars import grammar_for
from lacuna_server.workspace.definitions import Definition, Kind, definitions
from lacuna_server.workspace.ignored import Ignored, default_rule, is_source, relative, source_text
from lacuna_server.workspace.passages import Passage, Passages

_KINDS = tuple(Kind)
_BYTES_OF_A_DEFINITION = 90
"""Its name, its places in the arrays and in the table of names, measured."""
_BYTES_OF_A_FILE = 800


@dataclass(frozen=True, slots=True)
class Stats:
    """What an index holds. `is_full` once something was left out because of a limit; `bytes` is an estimate."""

    files: int = 0
    definitions: int = 0
    bytes: int = 0
    is_full: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one index."""

    files: int = 20_000
    bytes: int = 192 * 2**20
    """Of definitions."""
    source_bytes: int = 64 * 2**20
    """Of the source text in which passages are found."""


class _File:
    """The definitions of one file."""

    __slots__ = ("_ends", "_kinds", "_lines", "_parents", "_path", "_text", "names")

    def __init__(self, path: str, found: Sequence[Definition]) -> None:
        self._path = path
        self.names = tuple(intern(one.name) for one in found)
        self._parents = tuple(intern(one.parent) for one in found)
        self._kinds = bytes(_KINDS.index(one.kind) for one in found)
        self._lines = array("I", (one.line for one in found))
        signatures = [one.signature.encode(errors="replace") for one in found]
        self._text = b"".join(signatures)
        self._ends = array("I", [0])
        for signature in signatures:
            self._ends.append(self._ends[-1] + len(signature))

    @property
    def bytes(self) -> int:
        return _BYTES_OF_A_FILE + len(self._text) + len(self.names) * _BYTES_OF_A_DEFINITION

    def called(self, name: str) -> list[Definition]:
        return [self._definition(index) for index, own in enumerate(self.names) if own == name]

    def all(self) -> list[Definition]:
        return [self._definition(index) for index in range(len(self.names))]

    def _definition(self, index: int) -> Definition:
        signature = self._text[self._ends[index] : self._ends[index + 1]].decode()
        kind = _KINDS[self._kinds[index]]
        return Definition(self.names[index], kind, self._path, self._lines[index], signature, self._parents[index])


class WorkspaceIndex:
    """The definitions below `roots`. Paths are absolute, with slashes.

    `may_be_read` is the user's rule, by path. It is asked again when a definition is looked up, so that a file that
    was excluded in the meantime is not shown.
    """

    def __init__(
        self, roots: Sequence[Path], may_be_read: Callable[[str], bool] = default_rule, limits: Limits = Limits()
    ) -> None:
        self.roots = tuple(roots)
        self._ignored = tuple(Ignored(root, may_be_read) for root in self.roots)
        self._may_be_read = may_be_read
        self._limits = limits
        self._lock = threading.Lock()
        self._files: dict[str, _File] = {}
        self._by_name: dict[str, set[str] | str] = {}
        """The paths of the files that define a name, or the only one."""
        self._passages = Passages(limits.source_bytes)
        self._definitions = self._bytes = 0
        self._is_full = False

    def update(self, path: str, text: str | None = None) -> bool:
        """Reads a file again, or the `text` that an editor has of it. Returns whether the index holds it now."""
        path = normal(path)
        grammar = grammar_for(path)
        if grammar is None or all(ignored.is_ignored(path) for ignored in self._ignored):
            self.remove(path)
            return False
        if text is None:
            text = source_text(path)
        file = _File(path, definitions(text, path, grammar)) if text and is_source(text) else None
        with self._lock:
            self._take_out(path)
            return file is not None and self._put_in(path, file, text or "")

    def remove(self, path: str) -> None:
        """Forgets a file, or all files of a folder."""
        path = normal(path)
        with self._lock:
            for gone in [path] if path in self._files else [one for one in self._files if one.startswith(f"{path}/")]:
                self._take_out(gone)

    def lookup(self, name: str, near: str = "") -> list[Definition]:
        """The definitions of `name`, those in files near the path `near` first."""
        with self._lock:
            paths = self._paths_with(name)
            files = [self._files[path] for path in sorted(paths, key=lambda path: (-_shared(path, near), path))]
        found = [definition for file in files for definition in file.called(name)]
        return [definition for definition in found if self._may_be_read(definition.path)]

    def like(self, wanted: Mapping[str, float], path: str, most: int) -> list[Passage]:
        """Passages with the names that are `wanted` in `path`, from other files of its language, the best first."""
        own = grammar_for(path)

        def may_be(other: str) -> bool:
            grammar = grammar_for(other)
            is_related = own is not None and grammar is not None and grammar.family == own.family
            return other != path and is_related and self._may_be_read(other)

        with self._lock:
            return self._passages.like(wanted, may_be, most)

    def count(self, name: str) -> int:
        """In how many files `name` is defined."""
        with self._lock:
            return len(self._paths_with(name))

    def in_file(self, path: str) -> list[Definition]:
        """All definitions of a file, in its order."""
        with self._lock:
            file = self._files.get(normal(path))
        return [] if file is None or not self._may_be_read(normal(path)) else file.all()

    def holds(self, path: str) -> bool:
        with self._lock:
            return path in self._files

    def files_below(self, root: Path) -> list[str]:
        """The files of `root` that can be indexed, as they are on the disk now."""
        ignored = self._ignored[self.roots.index(root)]
        return [path for path in ignored.files() if grammar_for(path) is not None]

    def stats(self) -> Stats:
        with self._lock:
            return Stats(len(self._files), self._definitions, self._bytes + self._passages.bytes, self._is_full)

    def _paths_with(self, name: str) -> list[str]:
        paths = self._by_name.get(name, ())
        return [paths] if isinstance(paths, str) else list(paths)

    def _put_in(self, path: str, file: _File, text: str) -> bool:
        if len(self._files) >= self._limits.files or self._bytes + file.bytes > self._limits.bytes:
            self._is_full = True
            return False
        self._files[path] = file
        self._is_full |= not self._passages.put(path, text)
        self._definitions += len(file.names)
        self._bytes += file.bytes
        for name in set(file.names):
            paths = self._by_name.get(name)
            if paths is None:
                self._by_name[name] = path
            elif isinstance(paths, str):
                self._by_name[name] = {paths, path}
            else:
                paths.add(path)
        return True

    def _take_out(self, path: str) -> None:
        file = self._files.pop(path, None)
        if file is None:
            return
        self._passages.remove(path)
        self._definitions -= len(file.names)
        self._bytes -= file.bytes
        for name in set(file.names):
            paths = self._by_name[name]
            if isinstance(paths, str) or len(paths) == 1:
                del self._by_name[name]
            else:
                paths.discard(path)


def shown_path(path: str, roots: Sequence[Path]) -> str:
    """`path` as seen from the innermost of `roots` that holds it."""
    inner = [one for root in roots if (one := relative(path, root)) is not None]
    return min(inner, key=len, default=path.rpartition("/")[2])


def _shared(path: str, near: str) -> int:
    """How many folders two paths share from the beginning."""
    shared = 0
    for one, other in zip(path.split("/")[:-1], near.split("/")[:-1], strict=False):
        if one != other:
            break
        shared += 1
    return shared
