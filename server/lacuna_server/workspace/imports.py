"""What a text imports, and which files of a workspace a module's name may mean. Reads no files."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lacuna_server.syntax.grammars import Grammar, Module
from lacuna_server.workspace.queries import query

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

_QUOTES = "\"'`<>"
_LEFT_OUT = frozenset({"__init__", "index"})
_LEFT_OUT_IN_RUST = frozenset({"mod", "lib", "main", "src"})
"""Parts of a path that a module's name leaves out."""
_SEPARATORS = re.compile(r"::|[./\\]")
_SUFFIX = re.compile(r"\.\w{1,4}$")
_RELATIVE_TO_CRATE = frozenset({"crate", "self", "super", ""})


@dataclass(frozen=True, slots=True)
class Import:
    """`name` of `module` as `alias`; without a name the module itself, or with `everything` all of its names."""

    module: str
    name: str = ""
    alias: str = ""
    everything: bool = False

    @property
    def local(self) -> str:
        """What the importing file calls it."""
        return self.alias or self.name or (self.module if "/" not in self.module else self.module.rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class Target:
    """A module as parts of a path: those behind `folder` if the name is relative to the importing file."""

    parts: tuple[str, ...]
    folder: str | None = None
    any_beginning: bool = False

    def inner(self, *names: str) -> Target:
        """A module in this one."""
        return Target((*self.parts, *names), self.folder, self.any_beginning)

    def fit(self, path: str) -> int:
        """How well the file at `path` fits: 2 for the module's file or folder, 1 for one deeper in it, else 0."""
        parts = _path_parts(path)
        if self.folder is not None:
            wanted = [*_path_parts(self.folder + "/"), *self.parts]
            return 0 if parts[: len(wanted)] != wanted else 2 if len(parts) == len(wanted) else 1
        wanted = list(self.parts)
        if self.any_beginning:
            wanted = wanted[-1:]
        if not wanted:
            return 0
        ends = [i for i in range(len(wanted), len(parts) + 1) if parts[i - len(wanted) : i] == wanted]
        return 0 if not ends else 2 if ends[-1] >= len(parts) - (1 if self.any_beginning else 0) else 1


def imports(tree: Tree, source: bytes, grammar: Grammar) -> list[Import]:
    """The imports of a text, in its order."""
    from tree_sitter import QueryCursor

    wanted = query(grammar, "imports")
    assert wanted is not None

    def text(nodes: list[Node]) -> str:
        written = source[nodes[0].start_byte : nodes[0].end_byte] if nodes else b""
        return "".join(written.decode(errors="replace").split()).strip(_QUOTES)

    found = []
    for _, captures in QueryCursor(wanted).matches(tree.root_node):
        if (module := text(captures.get("module", []))) == "":
            continue
        if inner := text(captures.get("inner", [])):
            module = f"{module}::{inner}"
        name, alias = text(captures.get("name", [])), text(captures.get("alias", []))
        found.append(Import(module, name, alias, everything="all" in captures))
    return found


def target(module: str, importing: str, grammar: Grammar) -> Target:
    """Where the files of `module` are, as the file at the path `importing` names it."""
    folder = posixpath.dirname(importing)
    if grammar.name == "python":
        dots = len(module) - len(module.lstrip("."))
        for _ in range(dots - 1):
            folder = posixpath.dirname(folder)
        return Target(tuple(filter(None, module.split("."))), folder if dots else None)
    if module.startswith(("./", "../")) or module in (".", ".."):
        path = posixpath.normpath(posixpath.join(folder, module))
        return Target((_SUFFIX.sub("", posixpath.basename(path)),), posixpath.dirname(path))
    if "/" in module or grammar.family in ("c", "ecmascript", "ruby"):
        parts = tuple(part for part in _SUFFIX.sub("", module).split("/") if part not in ("@", "~", "", ".."))
        hosted = grammar.modules is Module.END and "." in parts[0] if parts else False
        return Target(parts, any_beginning=hosted)
    parts = tuple(part for part in _SEPARATORS.split(module) if part not in _RELATIVE_TO_CRATE)
    return Target(parts, any_beginning=grammar.modules is Module.END and "\\" in module)


def _path_parts(path: str) -> list[str]:
    """The folders and the file of a path as a module's name has them."""
    folder, _, name = path.rpartition("/")
    parts = [*folder.split("/"), name.partition(".")[0]]
    if path.endswith(".rs"):
        return [part.replace("-", "_") for part in parts if part and part not in _LEFT_OUT_IN_RUST]
    return [part for part in parts if part and part not in _LEFT_OUT]
