"""Checksums of files that are too large to be held in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 2**22
"""Bytes that are read at once."""


def sha256_of(*files: Path) -> str:
    """The SHA-256 of files joined in order, in hexadecimal."""
    digest = hashlib.sha256()
    for file in files:
        for chunk in chunks(file):
            digest.update(chunk)
    return digest.hexdigest()


def chunks(file: Path) -> Iterator[bytes]:
    """The content of a file, a few MiB at a time."""
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk
