"""Memory copy bandwidth, the yardstick for decoding, which reads every weight once per token."""

from __future__ import annotations

import time
from statistics import median

import torch

BYTES = 256 * 2**20


def copy_bandwidth(device: torch.device, repeats: int = 7) -> float:
    """Bytes read and written per second while a large tensor is copied; the median of `repeats`."""
    source = torch.ones(BYTES // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    return 2 * BYTES / median(seconds(lambda: target.copy_(source), device) for _ in range(repeats))


def seconds(work: object, device: torch.device) -> float:
    """Wall time of one call of `work`, including the device's queue."""
    assert callable(work)
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
