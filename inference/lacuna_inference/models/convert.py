"""Turns old pickled checkpoints into safetensors, reading tensors only and never running code."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.sources import pickled_files


def convert(
    folder: Path, dtype: torch.dtype | None = None, progress: Callable[[float, str], None] | None = None
) -> list[Path]:
    """Writes safetensors beside the pickled weights of `folder` and returns the new files; nothing is deleted.

    `dtype` converts the floating-point tensors. Raises ModelUnusable when there is nothing to convert, or when a file
    holds more than tensors.
    """
    files = [file for file in pickled_files(folder) if file.name != "training_args.bin"]
    if not files:
        raise ModelUnusable(f"{folder} has no pickled weights.", "There is nothing to convert.")
    written: list[Path] = []
    weight_map: dict[str, str] = {}
    total = 0
    for number, file in enumerate(files, 1):
        if progress:
            progress((number - 1) / len(files), f"converting {file.name}")
        tensors = _owned(_read(file), dtype)
        name = "model.safetensors" if len(files) == 1 else f"model-{number:05}-of-{len(files):05}.safetensors"
        save_file(tensors, folder / name, metadata={"format": "pt"})
        written.append(folder / name)
        weight_map |= dict.fromkeys(tensors, name)
        total += sum(tensor.nbytes for tensor in tensors.values())
    if len(files) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
    return written


def _read(file: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise ModelUnusable(
            f"{file} cannot be read as plain tensors: {(str(error).splitlines() or [''])[0]}",
            "It is damaged or holds code; fetch it again, or get the model in safetensors.",
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise ModelUnusable(f"{file} holds no table of tensors.", "It is not a checkpoint of a model.")
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}


def _owned(state: dict[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """The tensors, each once and with memory of its own: tied weights are tied again when the model is loaded."""
    seen: set[tuple[int, torch.Size, tuple[int, ...]]] = set()
    owned: dict[str, Tensor] = {}
    for name, tensor in state.items():
        identity = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and identity in seen:
            continue
        seen.add(identity)
        converted = tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor
        owned[name] = converted.clone().contiguous()
    return owned
