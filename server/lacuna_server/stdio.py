"""The standard streams: that they are there, write every text, and that stdout is the protocol's where it speaks.

Imports nothing but the standard library's smallest parts, because it must run before everything else.
"""

from __future__ import annotations

import io
import os
import sys
from typing import BinaryIO


def open_missing() -> set[int]:
    """Opens the null device in the place of each standard descriptor that is closed, and returns those descriptors.

    Else the next file that is opened, a model's perhaps, would take the descriptor's place. A character that the
    streams' encoding lacks (a bar under cp1252, a path that is not UTF-8) is written as an escape from now on.
    """
    missing = {descriptor for descriptor in (0, 1, 2) if not _is_open(descriptor)}
    for descriptor in sorted(missing):
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number
        stream = open(descriptor, "r" if descriptor == 0 else "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        setattr(sys, ("stdin", "stdout", "stderr")[descriptor], stream)
    for written in (sys.stdout, sys.stderr):
        if isinstance(written, io.TextIOWrapper):
            written.reconfigure(errors="backslashreplace")
    return missing


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def guard() -> tuple[BinaryIO, BinaryIO]:
    """The protocol's own streams: private copies of descriptors 0 and 1, and stderr in the place of stdout.

    Afterwards whatever is printed, by Python, C or a child process, goes to stderr.
    """
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
