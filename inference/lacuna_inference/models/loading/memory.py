"""Checks whether a model fits, before any weight is read: its config alone gives its size, on the meta device."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lacuna_inference.errors import NotEnoughMemory

HEADROOM = 1.1
"""Factor on the weights' size: room for activations and the KV cache of a short context."""


@dataclass(frozen=True, slots=True)
class Size:
    """Parameters of a model and the bytes of its weights in one dtype."""

    parameters: int
    weight_bytes: int


def size_of(config: Any, dtype: torch.dtype, trust_remote_code: bool = False) -> Size:
    """Size of the causal model that `config` describes. Tied weights count once. Needs no weight file."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)  # type: ignore[no-untyped-call]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Size(parameters, parameters * dtype.itemsize)


def available_bytes(device: torch.device) -> int | None:
    """Free memory of `device` in bytes, or None if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "cpu":
        return _available_ram()
    return None


def require_room(size: Size, device: torch.device) -> None:
    """Raises NotEnoughMemory if the weights plus 10% do not fit the free memory of `device`."""
    free = available_bytes(device)
    needed = int(size.weight_bytes * HEADROOM)
    if free is not None and needed > free:
        raise NotEnoughMemory(
            f"The model needs about {_gib(needed)} and {device} has {_gib(free)} free.",
            "Choose a smaller model or a smaller dtype, or spread it with --device-map auto.",
        )


def return_freed() -> None:
    """Returns freed memory to the system where the C library keeps it for itself, as glibc does."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _available_ram() -> int | None:
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
