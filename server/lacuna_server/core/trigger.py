"""Whether to complete at a cursor, and how much: a line, or a block up to its dedent."""

from __future__ import annotations

from lacuna_inference.api import Stop
from lacuna_inference.text import indentation
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.syntax.blocks import opens_block
from lacuna_server.syntax.grammars import grammar_for

_CLOSERS = frozenset(")]}'\"`:;, \t")


def stop_for(snapshot: Snapshot, max_tokens: int, max_lines: int) -> Stop | None:
    """When the suggestion at this cursor must stop, or None where nothing is suggested (inside a word).

    A single line if the line has text before the cursor, or more than closing brackets and punctuation after it. A
    block if the line is empty or opens one.
    """
    before, after = snapshot.line_before, snapshot.line_after
    if _inside_word(before, after):
        return None
    if any(character not in _CLOSERS for character in after) or (before.strip() and not _opens_block(snapshot)):
        return Stop(max_tokens, single_line=True)
    indent = indentation(before)
    below = indent + 1 if before.strip() else indent
    return Stop(max_tokens, dedent_below=below, max_lines=max_lines)


def _inside_word(before: str, after: str) -> bool:
    return bool(before and after) and _is_word(before[-1]) and _is_word(after[0])


def _opens_block(snapshot: Snapshot) -> bool:
    grammar = grammar_for(snapshot.uri_path or snapshot.path or "", snapshot.language)
    return not snapshot.line_after.strip() and opens_block(snapshot.line_before, grammar)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
