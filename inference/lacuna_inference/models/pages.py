"""Memory in large pages for weights, which are read faster from it by up to a tenth; in small ones for what grows."""

from __future__ import annotations

import mmap
import sys
from contextlib import suppress

import torch
from torch import Tensor

_LEAST = 2**22
"""Bytes of two large pages: less would hardly be in any."""


def zeros(size: int) -> Tensor:
    """`size` bytes of zeros, uint8, in large pages, where Linux has them."""
    if not hasattr(mmap, "MADV_HUGEPAGE") or size < _LEAST:
        return torch.zeros(size, dtype=torch.uint8)
    block = _block(size)
    with suppress(OSError):  # a kernel without large pages
        block.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(block, dtype=torch.uint8)


def untouched(size: int) -> Tensor:
    """`size` bytes of zeros, uint8, in small pages: one that is never written takes no memory.

    numpy's zeros would be in large pages, and on some systems any memory is, unless it is asked not to be: to write
    the first token of each head would take the memory of all.
    """
    block = _block(size)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with suppress(OSError):
            block.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(block, dtype=torch.uint8)


def _block(size: int) -> mmap.mmap:
    private = {} if sys.platform == "win32" else {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}
    return mmap.mmap(-1, size, **private)
