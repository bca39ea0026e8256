"""Model options that are valid one by one but conflict with each other. Accesses no device and no disk."""

from __future__ import annotations

from collections.abc import Sequence

from lacuna_inference.api import ModelOptions


def contradiction(options: ModelOptions) -> str | None:
    """The conflict as two sentences, what it is and what to do instead. None without a known conflict."""
    kinds = {_kind(name) for name in options.devices or (options.device,)}
    several = len(options.devices) > 1
    spread_out = bool(options.device_map or options.max_memory)
    if several and options.spread == "layers" and kinds != {"cuda"}:
        return "Layers can be spread over GPUs only. Name GPUs in `devices`, for example 0,1."
    if several and options.spread == "tensor" and len(kinds) > 1:
        return "The shards of a layer run on devices of one kind. Name GPUs or CPUs in `devices`, not both."
    quantized = options.quantization not in ("auto", "none")
    if quantized and (kinds & {"cuda", "mps"} or spread_out or options.forward == "transformers"):
        return (
            f"{options.quantization} weights are for the own forward on a CPU. Set `device` to cpu and omit "
            "`device_map`, `max_memory` and `forward`, or set `quantization` to none."
        )
    if options.forward == "own" and spread_out:
        return "A model that `device_map` or `max_memory` spreads runs on transformers. Omit them or `forward`."
    return None


def named_twice(devices: Sequence[str]) -> str | None:
    """The first device that `devices` names twice, in any spelling, or None. A CPU may be repeated."""
    names = [_normal(name) for name in devices]
    return next((name for name in names if name != "cpu" and names.count(name) > 1), None)


def _kind(device: str) -> str:
    return _normal(device).partition(":")[0]


def _normal(device: str) -> str:
    return f"cuda:{int(device)}" if device.isdecimal() else device
