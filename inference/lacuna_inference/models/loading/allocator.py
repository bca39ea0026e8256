"""How the C library hands out memory. Imports nothing heavy: it counts only for what is allocated afterwards."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Options of glibc's `mallopt`, see its manual page."""
_LARGE = 8 * 2**20
"""Bytes. With 1 MiB, prompts were read a tenth slower."""


def return_large_blocks() -> None:
    """Has glibc return blocks of 8 MiB and more to the system as soon as they are freed. Does nothing elsewhere.

    Otherwise it raises that limit up to 32 MiB, to the largest block that was freed, and keeps what is smaller: some
    40 MB after prompts of many lengths.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            libc.mallopt(option, _LARGE)
