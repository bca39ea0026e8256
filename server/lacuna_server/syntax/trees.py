"""Texts with their syntax trees: the part of a document around the cursor, and what it becomes by an insertion.

A tree is made from that of a similar text, which tree-sitter reuses: the last one of the same document, or the text
before the insertion.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from lacuna_server.syntax.grammars import GRAMMARS, Grammar, loaded

if TYPE_CHECKING:
    from tree_sitter import Parser, Tree

REACH = 24 * 1024
_STEP = 16 * 1024
"""Characters. A text is read from at least `REACH` before the cursor to as much after it, and at most a step more, so
that the part does not change with every key."""
_MOST_DOCUMENTS = 4
_last: OrderedDict[str, ParsedText] = OrderedDict()
"""By document, the last used one at the end."""


@dataclass(frozen=True, slots=True)
class ParsedText:
    """A text in UTF-8 with its syntax tree."""

    source: bytes
    tree: Tree
    grammar: Grammar

    def with_inserted(self, offset: int, text: bytes) -> ParsedText:
        """What it becomes when `text` is inserted at a byte offset."""
        return self._replaced(offset, offset, text)

    def changed_to(self, source: bytes) -> ParsedText:
        """Another text with a tree that is made from this one."""
        if source == self.source:
            return self
        start = _common(self.source, source)
        most = min(len(source), len(self.source)) - start
        same = _common(self.source[::-1][:most], source[::-1][:most])
        return self._replaced(start, len(self.source) - same, source[start : len(source) - same])

    def _replaced(self, start: int, end: int, text: bytes) -> ParsedText:
        source = self.source[:start] + text + self.source[end:]
        new_end = start + len(text)
        tree = self.tree.copy()
        tree.edit(start, end, new_end, _point(source, start), _point(self.source, end), _point(source, new_end))
        return ParsedText(source, _parser(self.grammar).parse(source, tree), self.grammar)


def around_cursor(before: str, after: str, grammar: Grammar, document: str = "") -> tuple[ParsedText, int] | None:
    """The text around a cursor with its tree, and the cursor's offset in it, in bytes.

    None if the language's grammar is missing. The tree is kept for the next call with the same `document`.
    """
    if loaded(grammar) is None:
        return None
    before, after = _near(before, after)
    head = before.encode(errors="replace")
    source = head + after.encode(errors="replace")
    known = _last.pop(document, None) if document else None
    if known is not None and known.grammar is grammar:
        text = known.changed_to(source)
    else:
        text = ParsedText(source, _parser(grammar).parse(source), grammar)
    if document:
        _last[document] = text
        if len(_last) > _MOST_DOCUMENTS:
            _last.popitem(last=False)
    return text, len(head)


def _near(before: str, after: str) -> tuple[str, str]:
    """The parts of both texts that are near the cursor, without what begins or ends within a line.

    Where there is one, the first line is one that is not indented.
    """
    dropped = max(0, len(before) - REACH) // _STEP * _STEP
    if dropped:
        before = before[before.find("\n", dropped) + 1 :]
        lines = before.splitlines(keepends=True)
        first = next((number for number, line in enumerate(lines) if line[0].isalpha()), 0)
        before = "".join(lines[first:])
    dropped = max(0, len(after) - REACH) // _STEP * _STEP
    if dropped:
        after = after[: after.rfind("\n", 0, len(after) - dropped) + 1]
    return before, after


def _common(one: bytes, other: bytes) -> int:
    """The length of what both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _point(source: bytes, offset: int) -> tuple[int, int]:
    """The row of an offset and its column in bytes."""
    return source.count(b"\n", 0, offset), offset - source.rfind(b"\n", 0, offset) - 1


@lru_cache(len(GRAMMARS))
def _parser(grammar: Grammar) -> Parser:
    from tree_sitter import Parser

    language = loaded(grammar)
    assert language is not None
    return Parser(language)
