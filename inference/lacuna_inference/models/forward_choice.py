"""Chooses what runs a model: the own forward, llama.cpp or transformers, and in how many bits; and reads it."""

from __future__ import annotations

import logging
from dataclasses import replace

import torch
from torch import Tensor

from lacuna_inference.api import ModelOptions
from lacuna_inference.errors import BadRequest, ModelUnusable
from lacuna_inference.forward import Forward
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.architectures.registry import ForwardSpec
from lacuna_inference.models.llama_cpp import forward as llama_cpp
from lacuna_inference.models.llama_cpp import library
from lacuna_inference.models.loading import memory
from lacuna_inference.models.loading.sources import ModelFolder
from lacuna_inference.models.loading.stored import tensors_of

logger = logging.getLogger(__name__)

_MAX_FP32_PARAMETERS = 2**27
"""Larger models get 8-bit weights on a CPU: in fp32, a token would take the time to read 512 MiB, 20 ms and more."""
_CONFIGURED = "the settings say so"
_OTHERWISE = "Use the model as a folder with safetensors."


def choose_forward(folder: ModelFolder, options: ModelOptions, context: int) -> tuple[str, str]:
    """`own`, `llama.cpp` or `transformers`, and why not the own one.

    Raises BadRequest if the configured one cannot run the model, and ModelUnusable for a GGUF file that none can run.
    """
    reason = registry.why_not_supported(folder, context)
    if reason is None and (options.device_map or options.max_memory):
        reason = "it is spread over several devices"
    if folder.gguf is not None:
        return _choose_for_gguf(folder, options, reason)
    if options.forward == "llama.cpp":
        raise BadRequest(
            f"llama.cpp runs GGUF files only, and {folder.name} is none.", "Set forward = auto (LACUNA_FORWARD)."
        )
    if options.forward == "transformers":
        return "transformers", _CONFIGURED
    if options.forward == "own" and reason:
        raise BadRequest(
            f"The own forward does not run {folder.name}: {reason}.", "Set forward = auto (LACUNA_FORWARD)."
        )
    return ("transformers", reason) if reason else ("own", "")


def _choose_for_gguf(folder: ModelFolder, options: ModelOptions, reason: str | None) -> tuple[str, str]:
    """As `choose_forward`, for a GGUF file that the own forward cannot run for `reason`.

    transformers would take the file apart in fp32.
    """
    if options.forward == "transformers":
        raise BadRequest(
            f"transformers does not run the GGUF file {folder.name}.", "Set forward = auto (LACUNA_FORWARD)."
        )
    if options.forward == "llama.cpp":
        if not library.is_installed():
            raise BadRequest("llama.cpp is not installed.", f"Run {library.INSTALL}, or set forward = auto.")
        return "llama.cpp", _CONFIGURED
    if reason is None:
        return "own", ""
    may_be_llama_cpp = options.forward == "auto" and not options.device_map and not options.max_memory
    if may_be_llama_cpp and library.is_installed():
        return "llama.cpp", reason
    advice = f"Run {library.INSTALL}, and llama.cpp will run it." if may_be_llama_cpp else _OTHERWISE
    raise ModelUnusable(f"The own forward cannot run the GGUF file {folder.name}: {reason}.", advice)


def choose_quantization(folder: ModelFolder, options: ModelOptions, device: torch.device, context: int) -> str:
    """`none`, `int8` or `int4`. `auto` is `int8` on a CPU for a model that is large or slow in fp32."""
    if options.quantization != "auto":
        return options.quantization
    plain = options.dtype != "auto" or options.acceleration == "compile"
    if plain or device.type != "cpu" or choose_forward(folder, options, context)[0] != "own":
        return "none"
    return quantization_for(sum(tensor.parameters for tensor in tensors_of(folder)))


def quantization_for(parameters: int) -> str:
    """What `auto` means on a CPU for a model of so many parameters: `none` or `int8`."""
    return "int8" if parameters > _MAX_FP32_PARAMETERS else "none"


def read_forward(
    folder: ModelFolder, spec: ForwardSpec, options: ModelOptions, kept: dict[str, Tensor] | None
) -> tuple[Forward, str]:
    """Reads the forward that runs the model; returns it and its name. Raises BadRequest, and what reading raises."""
    kind, reason = choose_forward(folder, options, spec.context)
    quantized = spec.quantization != "none"
    if quantized and (kind != "own" or spec.device.type != "cpu"):
        because = f"{folder.name} runs on {kind}: {reason}" if kind != "own" else f"the device is {spec.device}"
        raise BadRequest(
            f"{spec.quantization} weights are for the own forward on a CPU, and {because}.",
            "Set quantization = none (LACUNA_QUANTIZATION).",
        )
    if kind == "own":
        forward = registry.read(folder, replace(spec, tuned=options.acceleration != "compile"), kept)
        return registry.accelerate(forward, options.acceleration)
    if kind == "llama.cpp":
        return _read_with_llama_cpp(folder, spec.context, gpu=options.device != "cpu")
    logger.info("%s runs on transformers' own modules: %s.", folder.name, reason)
    from lacuna_inference.models import transformers_forward

    return transformers_forward.read(folder, spec.dtype, spec.device, options), kind


def _read_with_llama_cpp(folder: ModelFolder, context: int, gpu: bool) -> tuple[Forward, str]:
    assert folder.gguf is not None
    stored = folder.gguf.weight_bytes
    memory.require_room(memory.Size(0, stored), torch.device("cpu"))
    return llama_cpp.read(folder.path, context, gpu), llama_cpp.name() or ""
