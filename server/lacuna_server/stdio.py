"""Keeps stdout for the protocol: private copies of descriptors 0 and 1, and stderr in the place of stdout.

Imports nothing but the standard library's smallest parts, because it must run before everything else.
"""

from __future__ import annotations

import os
import sys
from typing import BinaryIO


def guard() -> tuple[BinaryIO, BinaryIO]:
    """The streams of the protocol. Afterwards whatever is printed, by Python, C or a child process, goes to stderr."""
    reader = os.fdopen(os.dup(0), "rb")
    writer = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stderr
    if sys.platform == "win32":
        import msvcrt

        for stream in (reader, writer):
            msvcrt.setmode(stream.fileno(), os.O_BINARY)
    return reader, writer
