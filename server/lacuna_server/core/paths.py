"""Paths that come from a file or an editor, in one form. Nothing here looks at a disk."""

from __future__ import annotations


def normal(path: str) -> str:
    """`path` with slashes only, and without blanks around it: Windows takes either kind of slash, in any mixture."""
    return path.strip().replace("\\", "/")


def is_on_a_share(path: str) -> bool:
    """Whether `path` names another machine on Windows, or a device: only to look there sends the user's name to it."""
    return normal(path).startswith(("//", "/??/"))
