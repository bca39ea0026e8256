"""Syntax trees of texts that end at a cursor: what is open there is closed, so that what is around it is recognized."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from lacuna_server.syntax.grammars import GRAMMARS, Grammar, parsed

if TYPE_CHECKING:
    from tree_sitter import Language, Query, Tree

_CLOSING = {b"{": b"}", b"(": b")", b"[": b"]"}
_WANTS_MORE = (b".", b"(", b"[", b",", b"=", b"+", b"-", b"*", b"/", b"<", b">", b":", b"&", b"|", b"!", b"?", b"@")
"""Behind these an expression, or the rest of one, has to follow."""
_NAME = b"x"


def completed(source: bytes, grammar: Grammar) -> Tree | None:
    """The tree of a text that ends anywhere. None if the language's grammar is missing."""
    tree = parsed(source, grammar)
    if tree is None:
        return None
    missing = _missing(source, _open_brackets(tree), grammar)
    return parsed(source + missing, grammar) if missing else tree


def _missing(source: bytes, brackets: list[bytes], grammar: Grammar) -> bytes:
    """What to put behind a text in which `brackets` are missing, innermost first."""
    text = source.rstrip()
    if grammar.indents and not brackets and text.endswith(b":"):
        return b"\n" + b" " * (_indentation(text.rpartition(b"\n")[2]) + 4) + b"pass\n"
    missing = _NAME if text.endswith(_WANTS_MORE) else b""
    for bracket in brackets:
        ends_statement = bracket == b"}" and missing and not missing.endswith(b"}")
        missing += b";" + bracket if ends_statement else bracket
    if grammar.name == "ruby":
        missing += b"\nend" * _open_blocks(text)
    return missing


def _open_brackets(tree: Tree) -> list[bytes]:
    """The brackets that close those that are open at the end of a text, innermost first."""
    from tree_sitter import QueryCursor

    still_open: list[bytes] = []
    nodes = QueryCursor(_brackets(tree.language)).captures(tree.root_node).get("bracket", [])
    for node in sorted(nodes, key=lambda node: node.start_byte):
        kind = node.type.encode()
        if node.is_missing:
            continue
        if kind in _CLOSING:
            still_open.append(_CLOSING[kind])
        elif kind in still_open:
            while still_open.pop() != kind:
                pass
    return still_open[::-1]


@lru_cache(len(GRAMMARS))
def _brackets(language: Language) -> Query:
    from tree_sitter import Query

    return Query(language, '["(" ")" "[" "]" "{" "}"] @bracket')


def _open_blocks(text: bytes) -> int:
    """How many blocks are open at the end of a text, by the indentation of its lines."""
    narrowest, blocks = _indentation(text.rpartition(b"\n")[2]), 0
    if text.rpartition(b"\n")[2].lstrip().startswith((b"def ", b"class ", b"module ")):
        blocks += 1
    for line in reversed(text.split(b"\n")):
        if line.strip() and _indentation(line) < narrowest:
            narrowest = _indentation(line)
            blocks += 1
    return blocks


def _indentation(line: bytes) -> int:
    return len(line) - len(line.lstrip())
