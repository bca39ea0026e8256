"""Describes a model from its small files: family, size, context, and whether it fits. Reads no weights."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lacuna_inference.api import BUNDLED, ModelOptions
from lacuna_inference.errors import LacunaError
from lacuna_inference.models import loader
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.loading import hub, memory, sources
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


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A model on this disk: bytes of its files, and whether it fits; None if unknown."""

    name: str
    bytes: int
    fits: bool | None


def on_disk(options: ModelOptions) -> list[OnDisk]:
    """The bundled model, the one in `options` and those in the hub's local cache."""
    bundled = sources.bundled_folder()
    sizes = {BUNDLED: sum(file.stat().st_size for file in bundled.glob("*.safetensors"))}
    sizes |= {name: size for name, _, size in hub.cached_models()}
    if options.model not in sizes:
        with suppress(LacunaError):
            sizes[options.model] = sum(file.stat().st_size for file in sources.find(options.model).weight_files)
    return [OnDisk(name, size, _fits(replace(options, model=name))) for name, size in sizes.items()]


def _fits(options: ModelOptions) -> bool | None:
    try:
        return describe(replace(options, family="auto", revision=None)).fits
    except LacunaError:
        return None


def describe(options: ModelOptions) -> Description:
    """Describes a model without loading it. Raises the LacunaErrors that loading would raise before the weights."""
    from lacuna_inference.models import transformers_forward  # its import takes seconds

    folder = loader.find(options)
    device = loader.choose_device(options.device)
    dtype = loader.choose_dtype(options.dtype, folder.config, device)
    tokenizer = read_tokenizer(folder, options)
    family = loader.choose_family(folder, tokenizer, options.family)
    prompt_tokenizer = PromptTokenizer(tokenizer, family)
    size = memory.size_of(transformers_forward.read_config(folder, options), dtype, options.trust_remote_code)
    context = loader.context_of(folder.config, family, options.context)
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
        dtype=str(dtype).removeprefix("torch."),
        device=str(device),
        fits=free is None or size.weight_bytes * memory.HEADROOM <= free,
        forward=registry.forward_name(options.acceleration, device) if forward == "own" else forward,
        not_own=not_own,
        languages=folder.languages,
        doubt=loader.doubt(folder, tokenizer, family, options.family) or "",
    )


def _architecture(folder: ModelFolder) -> str:
    names = folder.config.get("architectures")
    return str(names[0] if isinstance(names, list) and names else folder.config.get("model_type", "unknown"))
