"""What is kept on this disk to save time: where it is, and how it is removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_dir

FOLDER = "LACUNA_CACHE_FOLDER"
"""The environment variable that names another folder than the user's cache."""


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """The files in a folder of this user. The engine creates the folder, readable by its owner only."""

    what: str
    """In human-readable form."""
    name: str

    @property
    def folder(self) -> Path:
        return Path(os.environ.get(FOLDER) or user_cache_dir("lacuna", appauthor=False)) / self.name

    def usage(self) -> tuple[int, int]:
        """How many files there are, and their bytes."""
        sizes = [size for _, size in self._files()]
        return len(sizes), sum(sizes)

    def clear(self) -> tuple[int, int]:
        """Removes all files; returns how many it removed, and their bytes."""
        removed = []
        for path, size in self._files():
            with suppress(OSError):
                path.unlink()
                removed.append(size)
        return len(removed), sum(removed)

    def _files(self) -> Iterator[tuple[Path, int]]:
        with suppress(OSError):
            for path in self.folder.iterdir():
                with suppress(OSError):
                    if path.is_file():
                        yield path, path.stat().st_size


KV_CACHES = KeptFiles("saved KV caches", "kv")
"""They are derived from the user's code."""
PACKED_WEIGHTS = KeptFiles("packed weights", "weights")
