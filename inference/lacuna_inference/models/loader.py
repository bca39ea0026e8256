"""What is needed to load a model: its folder, prompt family, devices, dtype and context."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from lacuna_inference.api import ModelOptions
from lacuna_inference.errors import BadRequest, ModelUnusable
from lacuna_inference.models import forward_choice
from lacuna_inference.models.architectures import registry
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
_MAX_LAYER_SHARE = 0.9
"""Share of a device's free memory that layers may take; the rest is for activations."""
_HALF_ON_CUDA = ("xglm", "codegen")
"""Published in fp32 or fp16 before bf16 was common; fp16 loses about 60 times less than bf16 on them."""
_DTYPES = {
    "float32": torch.float32, "fp32": torch.float32, "float16": torch.float16, "fp16": torch.float16,
    "bfloat16": torch.bfloat16, "bf16": torch.bfloat16,
}  # fmt: skip


def validate(options: ModelOptions) -> None:
    """Checks what can be checked without a device and without reading weights. Raises the errors of loading."""
    folder = find(options)
    family, _ = choose_family(folder, read_tokenizer(folder, options), options.family)
    forward_choice.choose_forward(folder, options, context_of(folder.config, family, options.context))


def find(options: ModelOptions) -> ModelFolder:
    """The model's folder. Raises what `sources.find` raises, and ModelUnusable for an unsupported or wrong config."""
    return checked(sources.find(options.model, options.revision))


def checked(folder: ModelFolder) -> ModelFolder:
    """`folder` itself. Raises ModelUnusable if its config is wrong, or that of a model that does not generate text."""
    if (kind := another_task(folder.config)) is not None:
        raise ModelUnusable(
            f"{folder.name} is a {kind}, which does not generate text.", "Choose a causal language model."
        )
    if (flaw := registry.config_error(folder.config)) is not None:
        where = folder.path / "config.json" if folder.gguf is None else folder.path
        raise ModelUnusable(f"{where} is wrong: {flaw}.", "Correct it, or fetch the model again.")
    return folder


def choose_devices(options: ModelOptions) -> tuple[torch.device, ...]:
    """The devices of one model, at least one. Raises BadRequest for an unavailable device, or one named twice."""
    if not options.devices:
        return (choose_device(options.device),)
    names = [f"cuda:{name}" if name.isdecimal() else name for name in options.devices]
    if duplicate := next((name for name in names if name != "cpu" and names.count(name) > 1), None):
        raise BadRequest(f"The device {duplicate} is named twice.", "Name each once with --devices.")
    devices = tuple(choose_device(name) for name in names)
    return devices[:1] if options.spread == "replicas" else devices


def over_layers(options: ModelOptions, devices: Sequence[torch.device]) -> ModelOptions:
    """With `--spread layers`, options that have accelerate put layers on each of `devices`, up to its free memory."""
    if options.spread != "layers" or len(devices) < 2:
        return options
    if any(device.type != "cuda" for device in devices):
        raise BadRequest("Layers can be spread over GPUs only.", "Name GPUs with --devices, for example 0,1.")
    max_memory = {
        str(device.index or 0): f"{_MAX_LAYER_SHARE * (memory.available_bytes(device) or 0):.0f}B" for device in devices
    }
    return replace(options, device_map="auto", max_memory=max_memory)


def start_shards(
    folder: ModelFolder,
    dtype: torch.dtype,
    devices: tuple[torch.device, ...],
    options: ModelOptions,
    context: int,
    progress: Progress,
) -> Workers:
    """Starts one worker process per device, each with a shard of the model. Raises BadRequest if that is impossible."""
    reason = registry.why_not_supported(folder, context) or registry.why_not_sharded(folder.config, len(devices))
    if reason is None and len({device.type for device in devices}) > 1:
        reason = "its devices are of different kinds"
    quantization = options.quantization
    if quantization == "auto":
        quantization = "none" if reason else forward_choice.choose_quantization(folder, options, devices[0], context)
    if reason is None and quantization != "none" and devices[0].type != "cpu":
        reason = f"{quantization} weights are for a CPU"
    if reason is not None:
        raise BadRequest(
            f"{folder.name} cannot be run in {len(devices)} parts: {reason}.", "Choose --spread layers or replicas."
        )
    names = tuple(map(str, devices))
    plan = WorkerPlan(folder, dtype, names, context, quantization, "")
    return workers.start(plan, lambda fraction, text: progress(0.15 + 0.7 * fraction, text))


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` prefers CUDA, then MPS, then the CPU. Raises BadRequest for another name."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadRequest(
            f"There is no kind of device called {name!r}.", "Choose auto, cpu, cuda, cuda:N or mps."
        ) from error
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device.type, False) or (device.index or 0) >= max(1, torch.cuda.device_count()):
        raise BadRequest(f"The device {name} is not available.", "Run: lacuna doctor, or choose --device auto.")
    return device


def choose_dtype(name: str, config: dict[str, Any], device: torch.device) -> torch.dtype:
    """The dtype called `name`; `auto` is fp32 on a CPU, fp16 for CodeGen and InCoder, otherwise as published."""
    if name != "auto":
        return dtype_named(name)
    if device.type == "cpu":
        return torch.float32
    if config.get("model_type") in _HALF_ON_CUDA:
        return torch.float16
    published = str(config.get("dtype") or config.get("torch_dtype") or "float16")
    return _DTYPES.get(published, torch.float16)


def dtype_named(name: str) -> torch.dtype:
    """The dtype called `name`. Raises BadRequest for an unknown name."""
    if name not in _DTYPES:
        raise BadRequest(f"There is no dtype called {name!r}.", "Choose auto, float32, float16 or bfloat16.")
    return _DTYPES[name]


def choose_family(folder: ModelFolder, tokenizer: Tokenizer, name: str | None) -> tuple[Family, str | None]:
    """The family called `name`, or recognized from the tokenizer and the config; otherwise left-to-right.

    Also says why the recognized family may be wrong; None if there is no doubt.
    """
    if name and name != "auto":
        return by_name(name), None
    family = recognize_family(folder, _Tokens(tokenizer))
    vocabulary = tokenizer.get_vocab(with_added_tokens=True) if family.infill is None else {}
    return family, recognition.doubt(family, vocabulary, _traits(folder))


def recognize_family(folder: ModelFolder, vocabulary: Container[str]) -> Family:
    """The family of a model with these tokens, left-to-right if none is recognized."""
    return recognize(vocabulary, _traits(folder)) or by_name("plain")


def is_chat_tuned(folder: ModelFolder) -> bool:
    """Whether the model was tuned to answer people, by its names: such models seldom close the hole they fill."""
    return recognition.is_chat_tuned(_traits(folder))


def _traits(folder: ModelFolder) -> Traits:
    """The model's traits in its config and names. Only the last component of a path describes the model."""
    paths = [folder.name, str(folder.config.get("_name_or_path", "")), str(folder.path), _hub_name(folder.path)]
    if folder.gguf is not None:
        paths += [str(folder.gguf.metadata.get(key, "")) for key in ("general.name", "general.basename")]
    names = [path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] for path in paths]
    return Traits(str(folder.config.get("model_type", "")), " ".join(names).lower())


class _Tokens:
    """The tokens of a tokenizer, which are not listed to find a few of them: there may be hundreds of thousands."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def __contains__(self, token: object) -> bool:
        return isinstance(token, str) and self._tokenizer.token_to_id(token) is not None


def _hub_name(path: Path) -> str:
    """The model's name for a snapshot in the hub's cache, whose folder is named by a hash."""
    return path.parent.parent.name if path.parent.name == "snapshots" else ""


def context_of(config: dict[str, Any], family: Family, max_context: int) -> int:
    """The context in tokens, of prompt and answer together: `max_context`, or less if the model has less."""
    return min(max_context, positions(config) or family.context)
