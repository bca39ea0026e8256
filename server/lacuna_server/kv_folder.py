"""The folder of the saved KV caches, which are derived from the user's code: where it is, and how it is emptied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_dir


def folder() -> Path:
    """The folder of this user. The engine creates it, readable by its owner only."""
    return Path(user_cache_dir("lacuna", appauthor=False)) / "kv"


def usage() -> tuple[int, int]:
    """How many files there are, and their bytes."""
    sizes = [size for _, size in _files()]
    return len(sizes), sum(sizes)


def clear() -> tuple[int, int]:
    """Removes all files; returns how many there were, and their bytes. A file that cannot be removed is not counted."""
    removed = []
    for path, size in _files():
        with suppress(OSError):
            path.unlink()
            removed.append(size)
    return len(removed), sum(removed)


def _files() -> Iterator[tuple[Path, int]]:
    with suppress(OSError):
        for path in folder().iterdir():
            with suppress(OSError):
                if path.is_file():
                    yield path, path.stat().st_size
