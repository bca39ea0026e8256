"""Options of a model that are right one by one and cannot be carried out together. Looks at no device and no disk."""

from __future__ import annotations

from collections.abc import Sequence

from lacuna_inference.api import ModelOptions


def contradiction(options: ModelOptions) -> str | None:
    """What cannot be carried out, as two sentences: what and what to do instead; None when nothing is known of."""
    kinds = {_kind(name) for name in options.devices or (options.device,)}
    several = len(options.devices) > 1
    spread_out = bool(options.device_map or options.max_memory)
    if several and options.spread == "layers" and kinds != {"cuda"}:
        return "Layers are spread over GPUs. Name GPUs in `devices`, as 0,1."
    if several and options.spread == "tensor" and len(kinds) > 1:
        return "The parts of a layer run on devices of one kind. Name GPUs or CPUs in `devices`, not both."
    if options.quantization != "none" and (kinds & {"cuda", "mps"} or spread_out or options.forward == "transformers"):
        return (
            f"{options.quantization} weights are for the own forward on a CPU. Set `device` to cpu and leave "
            "`device_map`, `max_memory` and `forward` out, or set `quantization` to none."
        )
    if options.forward == "own" and spread_out:
        return "A model that `device_map` or `max_memory` spreads runs on transformers. Leave them or `forward` out."
    return None


def named_twice(devices: Sequence[str]) -> str | None:
    """The device that is there twice among the names of `devices`, in any spelling; a CPU may be."""
    names = [_normal(name) for name in devices]
    return next((name for name in names if name != "cpu" and names.count(name) > 1), None)


def _kind(device: str) -> str:
    return _normal(device).partition(":")[0]


def _normal(device: str) -> str:
    return f"cuda:{int(device)}" if device.isdecimal() else device
