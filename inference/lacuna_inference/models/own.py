"""Which models the own forward runs, and how it is put together from a model's folder. Needs no transformers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from lacuna_inference.models import codegen, llama, memory, single, starcoder2, xglm
from lacuna_inference.models.linear import quantise, tune
from lacuna_inference.models.network import OwnForward
from lacuna_inference.models.sources import ModelFolder
from lacuna_inference.models.weights import TensorFiles, Weights

_ARCHITECTURES: tuple[ModuleType, ...] = (llama, starcoder2, xglm, codegen)


def obstacle(folder: ModelFolder, context: int) -> str | None:
    """Why the own forward cannot run the model in `folder`, or None when it can."""
    config = folder.config
    if config.get("quantization_config"):
        return "its weights are quantised"
    if config.get("auto_map"):
        return "it brings its own code"
    architecture = _architecture(config)
    if architecture is None:
        return f"its architecture is {config.get('model_type')}"
    found: str | None = architecture.obstacle(config) or _narrow_window(config, context)
    return None if found is None else f"it has {found}"


def read(
    folder: ModelFolder, dtype: torch.dtype, device: torch.device, context: int, quantised: bool = False
) -> OwnForward:
    """The forward of a model without `obstacle`; `quantised` to int8, which only a CPU can do.

    Raises ModelUnusable when a tensor is missing, and NotEnoughMemory before anything is read when it will not fit.
    """
    with ExitStack() as stack:
        tensors = TensorFiles(folder.weight_files, stack)
        count = tensors.parameters()
        memory.require_room(memory.Size(count, count * dtype.itemsize), device)
        return build(folder.config, tensors, dtype, device, context, quantised)


def build(
    config: dict[str, Any],
    tensors: Mapping[str, Tensor],
    dtype: torch.dtype,
    device: torch.device,
    context: int,
    quantised: bool = False,
) -> OwnForward:
    """The forward of the model that `config` describes, made of `tensors`, its products tuned to this machine."""
    architecture = _architecture(config)
    assert architecture is not None
    weights = Weights(tensors, dtype, device)
    network = architecture.build(config, weights, context)
    tuning = quantise(weights.linears) if quantised else tune(weights.linears)
    one = None if single.obstacle(network) else single.SingleStep(network)
    return OwnForward(network, tuning.widest_draft, one)


def _narrow_window(config: dict[str, Any], context: int) -> str | None:
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    return f"a window of {window} tokens" if window is not None and window < context else None


def _architecture(config: dict[str, Any]) -> ModuleType | None:
    kind = config.get("model_type")
    return next((module for module in _ARCHITECTURES if kind in module.MODEL_TYPES), None)
