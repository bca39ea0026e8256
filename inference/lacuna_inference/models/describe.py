"""Describes a model from its small files: family, size, context, and whether it fits. Reads no weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from lacuna_inference.api import ModelOptions
from lacuna_inference.models import facts, loader
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.loading import memory
from lacuna_inference.models.loading.memory import Size
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
    dtype = loader.choose_dtype(options.dtype, folder.config, device)
    tokenizer = read_tokenizer(folder, options)
    family = loader.choose_family(folder, tokenizer, options.family)
    prompt_tokenizer = PromptTokenizer(tokenizer, family)
    size = _size(folder, dtype, options)
    context = loader.context_of(folder.config, family, options.context)
    quantization = loader.choose_quantization(folder, options, device, context)
    forward, not_own = loader.choose_forward(folder, options, context)
    free = memory.available_bytes(device)
    return Description(
        name=folder.name,
        path=folder.path,
        architecture=_architecture(folder),
        family=family.name,
        parameters=size.parameters,
        weight_bytes=size.weight_bytes,
        disk_bytes=sum(file.stat().st_size for file in folder.weight_files),
        context=context,
        vocabulary=prompt_tokenizer.size,
        dtype=str(dtype).removeprefix("torch.") if quantization == "none" else quantization,
        device=str(device),
        fits=free is None or size.weight_bytes * memory.HEADROOM <= free,
        forward=registry.forward_name(options.acceleration, device) if forward == "own" else forward,
        not_own=not_own,
        languages=folder.languages,
        doubt=loader.doubt(folder, tokenizer, family, options.family) or "",
    )


def _size(folder: ModelFolder, dtype: torch.dtype, options: ModelOptions) -> Size:
    """A GGUF file has its sizes in its header; those of another model follow from its config."""
    if folder.gguf is not None:
        return facts.stored_size(folder)
    from lacuna_inference.models import transformers_forward  # its import takes seconds

    return memory.size_of(transformers_forward.read_config(folder, options), dtype, options.trust_remote_code)


def _architecture(folder: ModelFolder) -> str:
    names = folder.config.get("architectures")
    return str(names[0] if isinstance(names, list) and names else folder.config.get("model_type", "unknown"))
