"""The standard streams: opens missing ones, makes them write any text, and reserves stdout for the protocol.

Imports only small modules of the standard library, because it runs before everything else.
"""

from __future__ import annotations

import io
import os
import sys
from typing import BinaryIO


def open_missing() -> set[int]:
    """Opens the null device on each standard descriptor that is closed, and returns those descriptors.

    Otherwise the next file that is opened, perhaps a model's, would get the descriptor. Characters that the streams'
    encoding lacks (a bar under cp1252, a path that is not UTF-8) are written as escapes from now on.
    """
    missing = {descriptor for descriptor in (0, 1, 2) if not _is_open(descriptor)}
    for descriptor in sorted(missing):
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number
        stream = open(descriptor, "r" if descriptor == 0 else "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        setattr(sys, ("stdin", "stdout", "stderr")[descriptor], stream)
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="backslashreplace")
    return missing


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def guard() -> tuple[BinaryIO, BinaryIO]:
    """Returns private copies of stdin and stdout for the protocol, and redirects stdout to stderr.

    Afterwards everything that Python, C code or a child process prints goes to stderr.
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
