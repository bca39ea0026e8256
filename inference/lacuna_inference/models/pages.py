"""Memory in large pages, where Linux has them: weights are read from it a twentieth to a tenth faster."""

from __future__ import annotations

import mmap
from contextlib import suppress

import torch
from torch import Tensor

_LEAST = 2**22
"""Bytes of two large pages: less would hardly be in any."""


def zeros(size: int) -> Tensor:
    """`size` bytes of zeros, uint8. Those that are never written take no memory."""
    if not hasattr(mmap, "MADV_HUGEPAGE") or size < _LEAST:
        return torch.zeros(size, dtype=torch.uint8)
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without large pages
        block.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(block, dtype=torch.uint8)
