"""Which models the own forward runs, and how it is put together from a model's folder. Needs no transformers."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch

from lacuna_inference.models import codegen, llama, memory, starcoder2, xglm
from lacuna_inference.models.linear import tune
from lacuna_inference.models.network import OwnForward
from lacuna_inference.models.sources import ModelFolder
from lacuna_inference.models.weights import Weights

_ARCHITECTURES: tuple[ModuleType, ...] = (llama, starcoder2, xglm, codegen)


def obstacle(folder: ModelFolder, context: int) -> str | None:
    """Why the own forward cannot run the model in `folder`, or None when it can."""
    config = folder.config
    if config.get("quantization_config"):
        return "its weights are quantised"
    if config.get("auto_map"):
        return "it brings its own code"
    architecture = _architecture(folder)
    if architecture is None:
        return f"its architecture is {config.get('model_type')}"
    found: str | None = architecture.obstacle(config) or _narrow_window(config, context)
    return None if found is None else f"it has {found}"


def read(folder: ModelFolder, dtype: torch.dtype, device: torch.device, context: int) -> OwnForward:
    """The forward of a model without `obstacle`, its products tuned to this machine.

    Raises ModelUnusable when a tensor is missing, and NotEnoughMemory before anything is read when it will not fit.
    """
    architecture = _architecture(folder)
    assert architecture is not None
    with Weights(folder.weight_files, dtype, device) as weights:
        count = weights.parameters()
        memory.require_room(memory.Size(count, count * dtype.itemsize), device)
        network = architecture.build(folder.config, weights, context)
        tune(weights.linears)
    return OwnForward(network)


def _narrow_window(config: dict[str, Any], context: int) -> str | None:
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    return f"a window of {window} tokens" if window is not None and window < context else None


def _architecture(folder: ModelFolder) -> ModuleType | None:
    kind = folder.config.get("model_type")
    return next((module for module in _ARCHITECTURES if kind in module.MODEL_TYPES), None)
