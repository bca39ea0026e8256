"""Whether a cursor is in code, in a string or in a comment."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from lacuna_server.syntax.grammars import Grammar
from lacuna_server.syntax.opened import literal_at_end
from lacuna_server.syntax.trees import around_cursor

if TYPE_CHECKING:
    from tree_sitter import Node


class Kind(Enum):
    """What a letter that is typed at the cursor would belong to."""

    CODE = "code"
    STRING = "string"
    DOCSTRING = "docstring"
    COMMENT = "comment"


_COMMENT = re.compile(r"(?:\w+_)?comment")
_STRING = re.compile(r"(?:\w+_)?(?:string|char(?:acter)?|rune|heredoc|nowdoc|regex)(?:_\w+)?|subshell")
"""Named nodes; the types `string` and `char` of some languages have none of their own."""
_NO_STRING = frozenset({"concatenated_string"})
_CODE_IN_STRINGS = frozenset({"interpolation", "template_substitution"})
_COMMENT_OPENERS = ("#", "//", "/*")


def kind_at(before: str, after: str, grammar: Grammar, document: str = "") -> Kind | None:
    """The kind at the cursor between two texts with LF line ends; None if the language's grammar is missing.

    A tree tells, but where it has an error, strings and comments are looked for in the text before the cursor.
    """
    found = around_cursor(before, after, grammar, document)
    if found is None:
        return None
    text, offset = found
    typed = text.with_inserted(offset, b"x")
    node = typed.tree.root_node.descendant_for_byte_range(offset, offset + 1)
    while node is not None and node.type != "ERROR" and not node.is_missing:
        if (kind := _kind(node, grammar)) is not None:
            return kind
        node = node.parent
    return Kind.CODE if node is None else _kind_of_text(typed.source[: offset + 1].decode(), grammar)


def _kind(node: Node, grammar: Grammar) -> Kind | None:
    """What the text in a node is if that is certain."""
    if not node.is_named:
        return None
    if _COMMENT.fullmatch(node.type):
        return Kind.COMMENT
    if node.type in _CODE_IN_STRINGS:
        return Kind.CODE
    if not _STRING.fullmatch(node.type) or node.type in _NO_STRING:
        return None
    return Kind.DOCSTRING if grammar.indents and _is_docstring(node) else Kind.STRING


def _is_docstring(node: Node) -> bool:
    """Whether a node of a string, or of a part of one, is the first statement of a block or of the file."""
    while node.type != "string" and node.parent is not None:
        node = node.parent
    statement = node.parent
    if statement is None or statement.type != "expression_statement" or statement.parent is None:
        return False
    first = next((child for child in statement.parent.named_children if child.type != "comment"), None)
    return first == statement and statement.named_child_count == 1


def _kind_of_text(text: str, grammar: Grammar) -> Kind:
    literal = literal_at_end(text, grammar)
    if not literal:
        return Kind.CODE
    return Kind.COMMENT if literal.startswith(_COMMENT_OPENERS) else Kind.STRING
