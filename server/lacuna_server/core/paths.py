"""Normal forms of paths that come from a file or an editor. Nothing here reads the disk."""

from __future__ import annotations


def normal(path: str) -> str:
    """`path` with forward slashes only and without surrounding whitespace. Windows accepts both kinds of slashes."""
    return path.strip().replace("\\", "/")


def is_on_a_share(path: str) -> bool:
    """Whether `path` names another machine or a device on Windows. Merely looking there sends it the user's name."""
    return normal(path).startswith(("//", "/??/"))
