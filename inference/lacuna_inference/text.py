"""What engine, server and training all say about code. Pure."""

from __future__ import annotations

import ast
import warnings

TAB_WIDTH = 4
"""Columns of a tab, for comparing indentations only; no tab is ever replaced."""


def indentation(line: str) -> int:
    """Width of the blanks before `line`, in columns."""
    blanks = line[: len(line) - len(line.lstrip(" \t"))]
    return len(blanks.expandtabs(TAB_WIDTH))


def parses(text: str) -> bool:
    """Whether `text` is a Python module."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def without_surrogates(text: str) -> str:
    """`text` with a lone half of a surrogate pair read as U+FFFD, and two halves as the character that they make.

    Editors that count in UTF-16 may send half of a character, which no UTF-8 can say.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
