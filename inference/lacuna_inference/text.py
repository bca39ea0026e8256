"""Functions on source text, shared by engine, server and training. Pure."""

from __future__ import annotations

import ast
import warnings

BLANKS = " \t"
"""The characters that indent a line."""
TAB_WIDTH = 4
"""Columns per tab, only for comparing indentation; no tab is ever replaced."""


def indentation(line: str) -> int:
    """Width of the leading blanks of `line`, in columns."""
    blanks = line[: len(line) - len(line.lstrip(BLANKS))]
    return len(blanks.expandtabs(TAB_WIDTH))


def parses(text: str) -> bool:
    """Whether `text` parses as a Python module."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def without_surrogates(text: str) -> str:
    """`text` with lone surrogates replaced by U+FFFD, and surrogate pairs by the character they encode.

    Editors that count in UTF-16 may send half of a character, which UTF-8 cannot encode.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
