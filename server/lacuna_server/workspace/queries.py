"""The queries for syntax trees in queries/, a file for each language with a section for each purpose.

They name their nodes so:

* definitions: `@function`, `@class`, `@constant`, `@field` and `@scope` (members of a type without its definition) with
  their `@name`, and if they have one a `@body`; `@parent` names the type outside of which a method is defined;
* imports: the `@module` and the `@name` in it, or `@all` of its names, and a local `@alias`;
* references: a `@name`, a `@member` of an `@object`, what is `@typed` with its `@type`, the `@base` of a type, and what
  is `@ignored`.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from lacuna_server.syntax.grammars import GRAMMARS, Grammar, loaded

if TYPE_CHECKING:
    from tree_sitter import Query


@lru_cache(4 * len(GRAMMARS))
def query(grammar: Grammar, section: str) -> Query | None:
    """The query of a section of the language's files: `definitions`, `imports` or `references`.

    None if the grammar is not installed or does not fit.
    """
    language = loaded(grammar)
    if language is None:
        return None
    from tree_sitter import Query

    return Query(language, "".join(_section(name, section) for name in grammar.queries or (grammar.name,)))


def _section(name: str, section: str) -> str:
    """What follows the line `; section` in a query file, to the next such line."""
    text = (resources.files("lacuna_server.workspace") / "queries" / f"{name}.scm").read_text(encoding="utf-8")
    return text.partition(f"; {section}\n")[2].partition("\n; ")[0] + "\n"
