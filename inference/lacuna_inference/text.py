"""What engine and server both say about lines of code. Pure."""

from __future__ import annotations

TAB_WIDTH = 4
"""Columns of a tab, for comparing indentations only; no tab is ever replaced."""


def indentation(line: str) -> int:
    """Width of the blanks before `line`, in columns."""
    blanks = line[: len(line) - len(line.lstrip(" \t"))]
    return len(blanks.expandtabs(TAB_WIDTH))
