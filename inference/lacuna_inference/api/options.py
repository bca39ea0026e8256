"""Which model runs, where, and how."""

from __future__ import annotations

from dataclasses import dataclass, field

BUNDLED = "bundled"
"""Name of the model that is part of the package."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model, where, and how. Sizes in tokens; `max_memory` as accelerate takes it ("0": "10GiB")."""

    model: str = BUNDLED
    device: str = "auto"
    dtype: str = "auto"
    family: str | None = None
    revision: str | None = None
    devices: tuple[str, ...] = ()
    """Several devices, by number or as torch names them; then `device` is not looked at."""
    spread: str = "replicas"
    """How several devices are used: `replicas` (a whole model on each), `tensor` (a part of each layer on each), or
    `layers` (some layers on each, by accelerate)."""
    device_map: str | None = None
    max_memory: dict[str, str] = field(default_factory=dict)
    trust_remote_code: bool = False
    context: int = 2048
    quantization: str = "none"
    """`int8` or `int4` for weights of eight or four bits, with the own forward on a CPU; or `none`."""
    forward: str = "auto"
    """`own`, `transformers`, or `auto`: the own one wherever it can run the model."""
    acceleration: str = "auto"
    """How the own forward's short steps are recorded: `graphs` (CUDA graphs), `compile` (torch.compile), `none`, or
    `auto`: graphs on a CUDA device."""
    layout: str = "auto"
    """`anchored`, `canonical` (see `prompt.families.Layout`), or `auto`: anchored while somebody types, and in every
    pause as the model was trained."""
    idle_unload_s: float | None = None
    """Seconds without a request after which the model is unloaded until the next one; None keeps it. Weights that the
    own forward had on a GPU wait in host memory, others are read from disk again."""
    draft_tokens: int | None = None
    """Most tokens of a draft; 0 for none, None for what suits device and forward."""
    batch: int = 8
    """Most requests that are answered side by side, in the same forward passes, as far as their caches fit."""
