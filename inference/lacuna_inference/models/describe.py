"""Describes a model from its small files: family, size, context, and whether it fits. Reads no weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from lacuna_inference.api import ModelOptions
from lacuna_inference.models import facts, forward_choice, loader
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.loading import memory, stored
from lacuna_inference.models.loading.sketch import ITEM_BYTES
from lacuna_inference.models.loading.sources import ModelFolder
from lacuna_inference.models.loading.tokenizer import read_tokenizer
from lacuna_inference.prompt.tokenizer import PromptTokenizer


@dataclass(frozen=True, slots=True)
class Description:
    """Sizes are in bytes and tokens. `fits` compares the weights with the device's free memory.

    `forward` names the forward that will run the model; `not_own` says why the own forward cannot. `doubt` says why
    `family` may be wrong; empty if there is no reason.
    """

    name: str
    path: Path
    architecture: str
    family: str
    parameters: int
    weight_bytes: int
    disk_bytes: int
    context: int
    vocabulary: int
    dtype: str
    device: str
    fits: bool
    forward: str
    not_own: str
    languages: tuple[str, ...] = ()
    """The languages that it completes; empty for all."""
    doubt: str = ""


def describe(options: ModelOptions) -> Description:
    """Describes a model without loading it. Raises the LacunaErrors that loading would raise before the weights."""
    folder = loader.find(options)
    device = loader.choose_device(options.device)
    tokenizer = read_tokenizer(folder, options)
    family, doubt = loader.choose_family(folder, tokenizer, options.family)
    prompt_tokenizer = PromptTokenizer(tokenizer, family)
    context = loader.context_of(folder.config, family, options.context)
    kind = type_in_memory(folder, options, device, context)
    parameters = _parameters(folder, options)
    item = ITEM_BYTES.get(kind)
    weight_bytes = facts.stored_size(folder).weight_bytes if item is None else round(parameters * item)
    forward, not_own = forward_choice.choose_forward(folder, options, context)
    free = memory.available_bytes(device)
    return Description(
        name=folder.name,
        path=folder.path,
        architecture=_architecture(folder),
        family=family.name,
        parameters=parameters,
        weight_bytes=weight_bytes,
        disk_bytes=sum(file.stat().st_size for file in folder.weight_files),
        context=context,
        vocabulary=prompt_tokenizer.size,
        dtype=kind,
        device=str(device),
        fits=free is None or weight_bytes * memory.HEADROOM <= free,
        forward=registry.forward_name(options.acceleration, device) if forward == "own" else forward,
        not_own=not_own,
        languages=folder.languages,
        doubt=doubt or "",
    )


def type_in_memory(folder: ModelFolder, options: ModelOptions, device: torch.device, context: int) -> str:
    """The type of the weights in memory: `int8`, `int4`, a dtype such as `float32`, or one of GGUF such as `Q4_K_M`."""
    if forward_choice.choose_forward(folder, options, context)[0] == "llama.cpp":
        return stored.type_of(folder, stored.tensors_of(folder))
    quantization = forward_choice.choose_quantization(folder, options, device, context)
    dtype = loader.choose_dtype(options.dtype, folder.config, device)
    return str(dtype).removeprefix("torch.") if quantization == "none" else quantization


def _parameters(folder: ModelFolder, options: ModelOptions) -> int:
    """A GGUF file has its sizes in its header; those of another model follow from its config."""
    if folder.gguf is not None:
        return facts.stored_size(folder).parameters
    from lacuna_inference.models import transformers_forward  # its import takes seconds

    config = transformers_forward.read_config(folder, options)
    return memory.size_of(config, torch.float32, options.trust_remote_code).parameters


def _architecture(folder: ModelFolder) -> str:
    names = folder.config.get("architectures")
    return str(names[0] if isinstance(names, list) and names else folder.config.get("model_type", "unknown"))
