"""Which model runs, where, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

BUNDLED = "bundled"
"""Name of the model in the package."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model runs, where, and how. Sizes in tokens; `max_memory` in accelerate's format ("0": "10GiB")."""

    model: str = BUNDLED
    device: str = "auto"
    dtype: str = "auto"
    family: str | None = None
    revision: str | None = None
    devices: tuple[str, ...] = ()
    """Several devices, by number or torch name; they override `device`."""
    spread: str = "replicas"
    """How several devices are used: `replicas` (the whole model on each), `tensor` (a shard of each layer on each), or
    `layers` (some layers on each, by accelerate)."""
    device_map: str | None = None
    max_memory: dict[str, str] = field(default_factory=dict)
    trust_remote_code: bool = False
    context: int = 2048
    quantization: str = "auto"
    """`int8` or `int4` for 8-bit or 4-bit weights, with the own forward on a CPU; `none`; or `auto`: 8 bits there for a
    model that is large or slow in fp32."""
    forward: str = "auto"
    """`own`, `llama.cpp` (GGUF files), `transformers`, or `auto`: the own forward if it supports the model."""
    acceleration: str = "auto"
    """How the own forward's short steps are recorded: `graphs` (CUDA graphs), `compile` (torch.compile), `none`, or
    `auto`: graphs on a CUDA device."""
    layout: str = "auto"
    """`anchored`, `canonical` (see `prompt.families.Layout`), or `auto`: anchored while the user types, and during
    pauses as the model was trained."""
    idle_unload_s: float | None = None
    """Seconds without a request after which the model is unloaded until the next one; None never unloads. Weights that
    the own forward had on a GPU are kept in host memory, others are read from disk again."""
    draft_tokens: int | None = None
    """Maximum tokens of a draft; 0 for none, None for what suits the device and the forward."""
    batch: int = 8
    """Maximum requests in one batch, if their caches fit."""
    kv_cache_folder: Path | None = None
    """A private folder in which the KV caches of documents are kept; None keeps none."""
    kv_cache_disk_bytes: int = 0
    """Maximum size of all files in that folder."""
    packed_folder: Path | None = None
    """A private folder with weights as they were packed for a CPU, which are used; None for no such folder."""
    packed_disk_bytes: int = 0
    """Maximum size of all files in that folder; 0 adds none."""
