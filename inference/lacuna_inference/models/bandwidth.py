"""Measures how fast a device reads its memory, which limits how fast a model decodes: each token reads all weights."""

from __future__ import annotations

import time

import torch

from lacuna_inference.models.loading import memory

_BYTES = 2**28
"""Far more than a processor's cache holds."""
_RUNS = 4
_SHARE = 8
"""At most one part in this many of the free memory is used."""


def measured(device: torch.device) -> float | None:
    """Bytes per second that `device` reads, in a fraction of a second; None if it has no memory left to try.

    Another program that uses the memory meanwhile makes it less, so the best of a few runs counts.
    """
    free = memory.available_bytes(device)
    size = _BYTES if free is None else min(_BYTES, free // _SHARE)
    columns = 4096
    rows = size // (columns * 4)
    if rows < 1:
        return None
    matrix, vector = torch.ones((rows, columns), device=device), torch.ones(columns, device=device)
    return matrix.nbytes / min(_seconds(matrix, vector) for _ in range(_RUNS))


def _seconds(matrix: torch.Tensor, vector: torch.Tensor) -> float:
    """What a product takes that reads every weight once, as decoding does."""
    _wait(matrix.device)
    begun = time.perf_counter()
    torch.mv(matrix, vector)
    _wait(matrix.device)
    return time.perf_counter() - begun


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
