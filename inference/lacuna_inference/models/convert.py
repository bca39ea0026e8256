"""Converts old pickled checkpoints to safetensors; reads only tensors and never runs code."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from lacuna_inference.errors import BadRequest, LacunaError, ModelUnusable
from lacuna_inference.models.damage import damaged
from lacuna_inference.models.loading.files import PICKLED, SAFETENSORS, weight_files

_UNFINISHED = ".unfinished"
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
"""The object that torch refused to create, in its message."""


def convert(
    folder: Path,
    dtype: torch.dtype | None = None,
    progress: Callable[[float, str], None] | None = None,
    force: bool = False,
) -> list[Path]:
    """Writes safetensors next to the pickled weights of `folder` and returns the new files; nothing is deleted.

    `dtype` converts the floating-point tensors. The new files appear together when all are written. Raises
    ModelUnusable if there is nothing to convert or a file holds more than tensors, and BadRequest if safetensors exist
    already, which only `force` replaces.
    """
    pickled = weight_files(folder, PICKLED)
    if not pickled:
        raise ModelUnusable(f"{folder} has no pickled weights.", "There is nothing to convert.")
    names = _names(len(pickled))
    existing = [name for name in (SAFETENSORS.single, SAFETENSORS.index, *names) if (folder / name).exists()]
    if existing and not force:
        raise BadRequest(f"{folder} has converted weights already ({existing[0]}).", "Add --force to write them again.")
    weight_map: dict[str, str] = {}
    total = 0
    with _all_or_nothing(folder) as unfinished:
        for number, (file, name) in enumerate(zip(pickled, names, strict=True)):
            if progress:
                progress(number / len(pickled), f"converting {file.name}")
            tensors = _owned(_read(file), dtype)
            save_file(tensors, unfinished(name), metadata={"format": "pt"})
            weight_map |= dict.fromkeys(tensors, name)
            total += sum(tensor.nbytes for tensor in tensors.values())
        if len(names) > 1:
            index = {"metadata": {"total_size": total}, "weight_map": weight_map}
            unfinished(SAFETENSORS.index).write_text(json.dumps(index, indent=1), encoding="utf-8")
    if len(names) == 1:
        (folder / SAFETENSORS.index).unlink(missing_ok=True)  # of an earlier conversion: loading would use it
    return [folder / name for name in names]


def _names(count: int) -> list[str]:
    if count == 1:
        return [SAFETENSORS.single]
    return [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]


@contextmanager
def _all_or_nothing(folder: Path) -> Iterator[Callable[[str], Path]]:
    """Yields a function that gives temporary paths to write to.

    The files are renamed when the block ends, and deleted when it fails.
    """
    written: dict[Path, Path] = {}

    def unfinished(name: str) -> Path:
        path = folder / f"{name}{_UNFINISHED}"
        written[path] = folder / name
        return path

    try:
        yield unfinished
        for path, final in written.items():
            path.replace(final)
    except (OSError, SafetensorError) as error:
        raise LacunaError(f"{folder} cannot be written to: {error}.", "Check the free space on its disk.") from error
    finally:
        for path in written:
            path.unlink(missing_ok=True)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise anything
        raise _refused(file, error) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    tensors = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)} if _is_dict(state) else {}
    if not tensors:
        raise ModelUnusable(f"{file} holds no table of tensors.", "It is not a checkpoint of a model.")
    return tensors


def _refused(file: Path, error: Exception) -> ModelUnusable:
    """The error for a file that torch refuses; torch's own message would explain how to disable the protection."""
    if match := _GLOBAL.search(str(error)):
        return ModelUnusable(
            f"{file} holds more than plain tensors ({match[1]}), so reading it could run code.",
            "Get the model in safetensors.",
        )
    return damaged(file, "is cut off or damaged, or holds more than plain tensors")


def _is_dict(state: object) -> bool:
    return isinstance(state, dict) and all(isinstance(name, str) for name in state)


def _owned(state: dict[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """The tensors, each once and in its own memory. Tied weights are tied again when the model is loaded.

    Of an embedding and an output matrix that are tied, the embedding stays, as in published files.
    """
    seen: set[tuple[int, torch.Size, tuple[int, ...]]] = set()
    owned: dict[str, Tensor] = {}
    for name, tensor in sorted(state.items(), key=lambda item: item[0].startswith("lm_head.")):
        identity = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and identity in seen:
            continue
        seen.add(identity)
        converted = tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor
        owned[name] = converted.clone().contiguous()
    return owned
