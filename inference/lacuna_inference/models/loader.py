"""Loads a model: finds its folder, recognises its prompt family, checks that it fits, reads it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from lacuna_inference.api import ModelOptions
from lacuna_inference.errors import BadRequest, ModelUnusable
from lacuna_inference.forward import Forward
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.architectures.registry import ForwardSpec
from lacuna_inference.models.loading import memory, sources
from lacuna_inference.models.loading.config import another_task, positions
from lacuna_inference.models.loading.sources import ModelFolder
from lacuna_inference.models.loading.tokenizer import read_tokenizer
from lacuna_inference.models.parallel import workers
from lacuna_inference.models.parallel.worker import WorkerPlan
from lacuna_inference.models.parallel.workers import Workers
from lacuna_inference.prompt import recognition
from lacuna_inference.prompt.families import Family, by_name
from lacuna_inference.prompt.recognition import Traits, recognize

logger = logging.getLogger(__name__)

Progress = Callable[[float, str], None]
_SHARE = 0.9
"""Of a device's free memory that layers may take; the rest is for what they compute."""
_HALF_ON_CUDA = ("xglm", "codegen")
"""Published in fp32 or fp16 before bf16 was usual; fp16 loses about 60 times less than bf16 on them."""
_DTYPES = {
    "float32": torch.float32, "fp32": torch.float32, "float16": torch.float16, "fp16": torch.float16,
    "bfloat16": torch.bfloat16, "bf16": torch.bfloat16,
}  # fmt: skip


def validate(options: ModelOptions) -> None:
    """All that `load` can refuse before it looks at a device or reads a weight. Raises what it raises."""
    folder = find(options)
    family = choose_family(folder, read_tokenizer(folder, options), options.family)
    choose_forward(folder, options, context_of(folder.config, family, options.context))


def find(options: ModelOptions) -> ModelFolder:
    """The model's folder, with a config that makes sense. Raises what `sources.find` does, and ModelUnusable."""
    folder = sources.find(options.model, options.revision)
    if (kind := another_task(folder.config)) is not None:
        raise ModelUnusable(f"{folder.name} is a {kind}, which writes no text.", "Choose a causal language model.")
    if (flaw := registry.config_error(folder.config)) is not None:
        raise ModelUnusable(f"{folder.path / 'config.json'} is wrong: {flaw}.", "Correct it, or fetch the model again.")
    return folder


def choose_forward(folder: ModelFolder, options: ModelOptions, context: int) -> tuple[str, str]:
    """`own` or `transformers`, and why not the own one. Raises BadRequest when the wanted one cannot run it."""
    reason = registry.why_not_supported(folder, context)
    if reason is None and (options.device_map or options.max_memory):
        reason = "it is spread over several devices"
    if options.forward == "transformers":
        return "transformers", "the settings say so"
    if options.forward == "own" and reason:
        raise BadRequest(
            f"The own forward does not run {folder.name}: {reason}.", "Set forward = auto (LACUNA_FORWARD)."
        )
    return ("transformers", reason) if reason else ("own", "")


def read_forward(
    folder: ModelFolder, spec: ForwardSpec, options: ModelOptions, kept: dict[str, Tensor] | None
) -> tuple[Forward, str]:
    """The forward that runs the model, and what to call it. Raises what reading it raises, and BadRequest."""
    kind, reason = choose_forward(folder, options, spec.context)
    quantized = spec.quantization != "none"
    if quantized and (kind != "own" or spec.device.type != "cpu"):
        because = f"{folder.name} runs on transformers: {reason}" if kind != "own" else f"the device is {spec.device}"
        raise BadRequest(
            f"{spec.quantization} weights are for the own forward on a CPU, and {because}.",
            "Set quantization = none (LACUNA_QUANTIZATION).",
        )
    if kind == "own":
        forward = registry.read(folder, replace(spec, tuned=options.acceleration != "compile"), kept)
        return registry.accelerate(forward, options.acceleration)
    logger.info("%s runs on transformers' own modules: %s.", folder.name, reason)
    from lacuna_inference.models import transformers_forward

    return transformers_forward.read(folder, spec.dtype, spec.device, options), kind


def choose_devices(options: ModelOptions) -> tuple[torch.device, ...]:
    """The devices of one model, at least one. Raises BadRequest for one that is not there, or named twice."""
    if not options.devices:
        return (choose_device(options.device),)
    names = [f"cuda:{name}" if name.isdecimal() else name for name in options.devices]
    if twice := next((name for name in names if name != "cpu" and names.count(name) > 1), None):
        raise BadRequest(f"The device {twice} is named twice.", "Name each once with --devices.")
    found = tuple(choose_device(name) for name in names)
    return found[:1] if options.spread == "replicas" else found


def over_layers(options: ModelOptions, devices: Sequence[torch.device]) -> ModelOptions:
    """Has accelerate put some layers on each of `devices`, where that is wanted: as much as is free there."""
    if options.spread != "layers" or len(devices) < 2:
        return options
    if any(device.type != "cuda" for device in devices):
        raise BadRequest("Layers are spread over GPUs.", "Name GPUs with --devices, as 0,1.")
    free = {str(device.index or 0): f"{_SHARE * (memory.available_bytes(device) or 0):.0f}B" for device in devices}
    return replace(options, device_map="auto", max_memory=free)


def start_shards(
    folder: ModelFolder,
    dtype: torch.dtype,
    devices: tuple[torch.device, ...],
    options: ModelOptions,
    context: int,
    progress: Progress,
) -> Workers:
    reason = registry.why_not_supported(folder, context) or registry.why_not_sharded(folder.config, len(devices))
    if reason is None and len({device.type for device in devices}) > 1:
        reason = "its devices are of different kinds"
    if reason is None and options.quantization != "none" and devices[0].type != "cpu":
        reason = f"{options.quantization} weights are for a CPU"
    if reason is not None:
        raise BadRequest(
            f"{folder.name} cannot be run in {len(devices)} parts: {reason}.", "Choose --spread layers, or replicas."
        )
    names = tuple(map(str, devices))
    plan = WorkerPlan(folder, dtype, names, context, options.quantization, "")
    return workers.start(plan, lambda share, text: progress(0.15 + 0.7 * share, text))


def choose_device(wanted: str) -> torch.device:
    """The device called `wanted`; `auto` takes CUDA, then MPS, then the CPU. Raises BadRequest for another."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise BadRequest(
            f"There is no kind of device called {wanted!r}.", "Choose auto, cpu, cuda, cuda:N or mps."
        ) from error
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device.type, False) or (device.index or 0) >= max(1, torch.cuda.device_count()):
        raise BadRequest(f"The device {wanted} is not there.", "Run: lacuna doctor, or choose --device auto.")
    return device


def choose_dtype(wanted: str, config: dict[str, Any], device: torch.device) -> torch.dtype:
    """The dtype called `wanted`; `auto` is fp32 on a CPU, fp16 for CodeGen and InCoder, else as published."""
    if wanted != "auto":
        return dtype_named(wanted)
    if device.type == "cpu":
        return torch.float32
    if config.get("model_type") in _HALF_ON_CUDA:
        return torch.float16
    published = str(config.get("dtype") or config.get("torch_dtype") or "float16")
    return _DTYPES.get(published, torch.float16)


def dtype_named(name: str) -> torch.dtype:
    """The dtype called `name`. Raises BadRequest for another one."""
    if name not in _DTYPES:
        raise BadRequest(f"There is no dtype called {name!r}.", "Choose auto, float32, float16 or bfloat16.")
    return _DTYPES[name]


def choose_family(folder: ModelFolder, tokenizer: Tokenizer, wanted: str | None) -> Family:
    """The family that the user named, or the one that tokenizer and config show; else left to right."""
    if wanted and wanted != "auto":
        return by_name(wanted)
    family = recognize(tokenizer.get_vocab(with_added_tokens=True), _traits(folder))
    return by_name("plain") if family is None else family


def doubt(folder: ModelFolder, tokenizer: Tokenizer, family: Family, wanted: str | None) -> str | None:
    """Why the family that `choose_family` chose may be wrong, in words; None when nothing speaks against it."""
    if wanted and wanted != "auto":
        return None
    return recognition.doubt(family, tokenizer.get_vocab(with_added_tokens=True), _traits(folder))


def _traits(folder: ModelFolder) -> Traits:
    """What the model says of itself. Of paths only the end counts: a folder above the model says nothing of it."""
    paths = (folder.name, str(folder.config.get("_name_or_path", "")), str(folder.path), _hub_name(folder.path))
    names = [path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] for path in paths]
    return Traits(str(folder.config.get("model_type", "")), " ".join(names).lower())


def _hub_name(path: Path) -> str:
    """The name of a snapshot in the hub's cache, whose own folder is called by a hash."""
    return path.parent.parent.name if path.parent.name == "snapshots" else ""


def context_of(config: dict[str, Any], family: Family, wanted: int) -> int:
    """Tokens of a prompt and its answer together: as wanted, but no more than the model can hold."""
    return min(wanted, positions(config) or family.context)
