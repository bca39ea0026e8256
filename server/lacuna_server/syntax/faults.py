"""What is wrong in a syntax tree: what the grammar cannot read, and in Python also blocks that it is too lenient about.

tree-sitter's grammar of Python takes any indentation, blocks without a statement, and `try` without what has to follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lacuna_server.syntax.trees import ParsedText

if TYPE_CHECKING:
    from tree_sitter import Node

_BLOCKS = ("block", "module")
_HANDLERS = ("except_clause", "except_group_clause", "finally_clause")
_TAB = 8


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in the bytes from `start` to `end`. A `block` that is wrong can be read nevertheless."""

    start: int
    end: int
    block: bool = False

    def is_within(self, start: int, end: int) -> bool:
        """Whether a part of it is between two offsets."""
        return self.start <= end and self.end >= start


def faults(text: ParsedText, start: int, end: int) -> list[Fault]:
    """Everything that the grammar cannot read, and which blocks are wrong between two byte offsets."""
    root = text.tree.root_node
    found = [Fault(node.start_byte, node.end_byte) for node in _errors(root)] if root.has_error else []
    if text.grammar.indents:
        found += _wrong_blocks(root, text.source, start, end)
    return found


def _errors(root: Node) -> Iterator[Node]:
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if node.is_error or node.is_missing:
            yield node
        elif node.has_error:
            nodes += node.children


def _wrong_blocks(root: Node, source: bytes, start: int, end: int) -> Iterator[Fault]:
    """Of Python: statements that are not indented as the first one of their block, blocks without any, bare `try`."""
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if node.is_error:
            continue
        near = list(_children_between(node, start, end))
        if node.type in _BLOCKS:
            first = next((column for one in node.named_children if (column := _column(one, source)) is not None), None)
            columns = [(one, _column(one, source)) for one in near if one.is_named]
            yield from (_fault(one) for one, column in columns if column is not None and column != first)
            if node.type == "block" and not node.named_child_count:
                yield _fault(node)
        elif node.type == "try_statement" and not any(child.type in _HANDLERS for child in node.children):
            yield _fault(node)
        nodes += (one for one in near if one.child_count or one.type in _BLOCKS)


def _children_between(node: Node, start: int, end: int) -> Iterator[Node]:
    """The children of a node between two offsets, and the one after that."""
    cursor = node.walk()
    more = (
        cursor.goto_first_child() if start <= node.start_byte else cursor.goto_first_child_for_byte(start) is not None
    )
    while more and (child := cursor.node) is not None:
        yield child
        more = child.start_byte <= end and cursor.goto_next_sibling()


def _column(statement: Node, source: bytes) -> int | None:
    """Where a statement begins in its line; None behind another one."""
    line = source[source.rfind(b"\n", 0, statement.start_byte) + 1 : statement.start_byte]
    if statement.type == "comment" or statement.is_error or line.strip(b" \t\f\xef\xbb\xbf\r"):
        return None
    return len(line.expandtabs(_TAB))


def _fault(node: Node) -> Fault:
    return Fault(node.start_byte, node.end_byte, block=True)
