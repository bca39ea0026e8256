"""Finds weights that are not finite. Reads all of them, which takes as long as reading the files."""

from __future__ import annotations

import math
from contextlib import ExitStack

import torch
from safetensors import SafetensorError
from torch import Tensor

from lacuna_inference.errors import ModelUnusable, first_line
from lacuna_inference.models.gguf.header import GgufFile
from lacuna_inference.models.gguf.rows import Rows
from lacuna_inference.models.loading.sources import ModelFolder
from lacuna_inference.models.loading.weights import TensorFiles

_CHECKED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def not_finite(folder: ModelFolder) -> list[str]:
    """The names of the tensors in `folder` that hold NaN or an infinity. Raises ModelUnusable for unreadable files."""
    if folder.gguf is not None:
        return _not_finite_in(folder.gguf)
    try:
        with ExitStack() as stack:
            files = TensorFiles(folder.weight_files, stack)
            return [name for name, tensor in files.items() if not _finite(tensor)]
    except (SafetensorError, OSError) as error:
        raise ModelUnusable(
            f"The weights in {folder.path} cannot be read: {first_line(error)}.", "Fetch the model again."
        ) from error


def _not_finite_in(file: GgufFile) -> list[str]:
    """The names of such tensors in a GGUF file, whose weights are turned into fp32 a few rows at a time."""
    found = []
    for info in file.tensors.values():
        if math.prod(info.shape) > 1:
            rows = Rows(info)
            steps = range(0, len(rows), rows.step)
            if not all(_finite(rows[start : start + rows.step]) for start in steps):
                found.append(info.name)
    return found


def _finite(tensor: Tensor) -> bool:
    """Scalars are not checked: some checkpoints store the minus infinity of a mask."""
    if tensor.dtype not in _CHECKED or tensor.numel() <= 1:
        return True
    lowest, highest = torch.aminmax(tensor)  # propagates NaN, and copies no tensor of gigabytes
    return bool(torch.isfinite(lowest) and torch.isfinite(highest))
