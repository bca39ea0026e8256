"""The languages whose syntax is known: one table, and their tree-sitter grammars, loaded when first needed.

To add a language, add a row here, a file in workspace/queries/ and rows in tests/server/workspace/. A grammar that is
not installed, or does not fit the installed tree-sitter, disables its language only.
"""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Language, Tree

_log = logging.getLogger(__name__)
_CHUNK = 8192


class Reach(Enum):
    """Where a name may be defined that is used without an import of its own."""

    OWN_FILE = "own file"
    FOLDER = "folder"
    EVERYWHERE = "everywhere"


class Module(Enum):
    """How the name of a module shows in the paths of its files."""

    WHOLE = "whole"
    """All of its parts do, but for those of the relative forms."""
    END = "end"
    """Its last part does: the beginning is a prefix that is configured elsewhere."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """One row of the table. `name` and `aliases` are LSP's language identifiers.

    `factory` is the function of the wheel's `module` that returns the grammar. Definitions of languages with the same
    `group` see each other. `body` stands for a body that is left out, and `enclosing` is what a method is shown in.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str
    factory: str = "language"
    aliases: tuple[str, ...] = ()
    group: str = ""
    queries: tuple[str, ...] = ()
    comment: str = "//"
    body: str = " { ... }"
    enclosing: tuple[str, str] = ("class {} {{", "}")
    reach: Reach = Reach.OWN_FILE
    modules: Module = Module.WHOLE

    @property
    def family(self) -> str:
        """The languages that see each other's definitions."""
        return self.group or self.name

    @property
    def indents(self) -> bool:
        """Whether blocks are marked by indentation."""
        return self.name == "python"


_ECMASCRIPT = "ecmascript"
GRAMMARS: tuple[Grammar, ...] = (
    Grammar(
        "python", (".py", ".pyi", ".pyw"), "tree_sitter_python",
        comment="#", body=" ...", enclosing=("class {}:", ""),
    ),
    Grammar(
        "javascript", (".js", ".jsx", ".mjs", ".cjs"), "tree_sitter_javascript",
        aliases=("javascriptreact",), group=_ECMASCRIPT, queries=(_ECMASCRIPT, "javascript"),
    ),
    Grammar(
        "typescript", (".ts", ".mts", ".cts"), "tree_sitter_typescript", "language_typescript",
        group=_ECMASCRIPT, queries=(_ECMASCRIPT, "typescript"),
    ),
    Grammar(
        "typescriptreact", (".tsx",), "tree_sitter_typescript", "language_tsx",
        group=_ECMASCRIPT, queries=(_ECMASCRIPT, "typescript"),
    ),
    Grammar("go", (".go",), "tree_sitter_go", enclosing=("", ""), reach=Reach.FOLDER, modules=Module.END),
    Grammar("rust", (".rs",), "tree_sitter_rust", enclosing=("impl {} {{", "}")),
    Grammar("java", (".java",), "tree_sitter_java", reach=Reach.FOLDER),
    Grammar(
        "c", (".c", ".h"), "tree_sitter_c",
        group="c", queries=("c_family", "c"), enclosing=("", ""), reach=Reach.EVERYWHERE,
    ),
    Grammar(
        "cpp", (".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx"), "tree_sitter_cpp",
        group="c", queries=("c_family", "cpp"), reach=Reach.EVERYWHERE,
    ),
    Grammar("csharp", (".cs",), "tree_sitter_c_sharp", reach=Reach.EVERYWHERE),
    Grammar(
        "ruby", (".rb",), "tree_sitter_ruby",
        comment="#", body="\n  ...\nend", enclosing=("class {}", "end"), reach=Reach.EVERYWHERE,
    ),
    Grammar("php", (".php",), "tree_sitter_php", "language_php", reach=Reach.EVERYWHERE, modules=Module.END),
)  # fmt: skip

_BY_NAME = {name: grammar for grammar in GRAMMARS for name in (grammar.name, *grammar.aliases)}
SUFFIXES = tuple(suffix for grammar in GRAMMARS for suffix in grammar.suffixes)
"""Of the files that an index reads."""
_BY_SUFFIX = {suffix: grammar for grammar in GRAMMARS for suffix in grammar.suffixes}


def grammar_for(path: str, language: str = "") -> Grammar | None:
    """The row of an LSP language identifier, else of the suffix of `path`; None for another language."""
    return _BY_NAME.get(language) or _BY_SUFFIX.get("." + path.rpartition(".")[2].lower())


@lru_cache(len(GRAMMARS))
def loaded(grammar: Grammar) -> Language | None:
    """The tree-sitter grammar, None if it is not installed or does not fit."""
    try:
        from tree_sitter import Language

        return Language(getattr(importlib.import_module(grammar.module), grammar.factory)())
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        _log.warning("%s has no tree-sitter grammar here, so its files are not understood: %s", grammar.name, error)
        return None


def parsed(source: bytes, grammar: Grammar) -> Tree | None:
    """The syntax tree of a text, whatever is wrong in it; None as in `loaded`.

    A long text is read in parts, because other threads can run between two of them.
    """
    language = loaded(grammar)
    if language is None:
        return None
    from tree_sitter import Parser

    if len(source) <= _CHUNK:
        return Parser(language).parse(source)
    return Parser(language).parse(lambda offset, _: source[offset : offset + _CHUNK])
