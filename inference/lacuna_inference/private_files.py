"""Files in folders that only their owner may read: written atomically, and removed when they take too much of a disk.

Several processes may share a folder.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

TEMPORARY = ".part"
"""The suffix of a file that is being written."""
Part: TypeAlias = bytes | memoryview
_ABANDONED_S = 600.0
"""Seconds without a write after which a file that is not whole was left by a process that has ended."""


def write(path: Path, parts: Iterable[Part], flush: bool = False) -> None:
    """Replaces the file at `path` atomically by a new one that only its owner may read. Raises OSError.

    With `flush`, it is on the disk before it replaces the other, so that not even a power cut leaves half of it.
    """
    descriptor, name = tempfile.mkstemp(TEMPORARY, f"{path.stem}.", path.parent)  # which only its owner may read
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            for part in parts:
                stream.write(part)
            if flush:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_private(folder: Path) -> None:
    """Creates `folder`, or closes an existing one to others."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def make_room(size: int, budget: int, replaced: Path) -> None:
    """Removes the least recently used files with the suffix of `replaced` beside it until `size` bytes fit the budget.

    Also removes those that were never finished.
    """
    now, files = time.time(), list(_files(replaced.parent))
    for path, used, _ in files:
        if path.suffix == TEMPORARY and now - used > _ABANDONED_S:
            path.unlink(missing_ok=True)
    kept = sorted((used, nbytes, path) for path, used, nbytes in files if path.suffix == replaced.suffix)
    total = size + sum(nbytes for _, nbytes, path in kept if path != replaced)
    for _, nbytes, path in kept:
        if total <= budget:
            return
        if path != replaced:
            path.unlink(missing_ok=True)
            total -= nbytes


def _files(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """Path, time of last use and size of each file in `folder`; one that another process removes is left out."""
    for path in folder.iterdir():
        with suppress(OSError):
            found = path.stat()
            yield path, found.st_mtime, found.st_size
