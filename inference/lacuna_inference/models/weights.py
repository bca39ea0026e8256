"""Reads the tensors of a model folder, one by one, in the dtype and on the device where they are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.linear import Linear


class Weights:
    """The tensors of some safetensors files by their names; a context manager that keeps the files open.

    `linears` are all layers that were made of them.
    """

    def __init__(self, files: Iterable[Path], dtype: torch.dtype, device: torch.device) -> None:
        self._dtype, self._device = dtype, device
        self.linears: list[Linear] = []
        self._stack = ExitStack()
        self._files: dict[str, Any] = {}
        for path in files:
            file = self._stack.enter_context(safe_open(path, framework="pt"))
            self._files |= dict.fromkeys(file.keys(), file)

    def __enter__(self) -> Weights:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def parameters(self) -> int:
        """How many numbers the files hold."""
        shapes = (file.get_slice(name).get_shape() for name, file in self._files.items())
        return sum(int(torch.Size(shape).numel()) for shape in shapes)

    def take(self, name: str) -> Tensor:
        """The tensor called `name`. Raises ModelUnusable when the files lack it."""
        if name not in self._files:
            raise ModelUnusable(f"The model's files lack the tensor {name}.", "Fetch the model again.")
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor.to(device=self._device, dtype=self._dtype)

    def optional(self, name: str) -> Tensor | None:
        return self.take(name) if name in self else None

    def linear(self, *names: str) -> Linear:
        """The layers called `names`, which read the same input, as one."""
        biases = [self.optional(f"{name}.bias") for name in names]
        weight = joined([self.take(f"{name}.weight") for name in names])
        present = [bias for bias in biases if bias is not None]
        return self.layer(weight, joined(present) if len(present) == len(names) else None)

    def layer(self, weight: Tensor, bias: Tensor | None = None) -> Linear:
        """The layer with this weight [out, in]."""
        self.linears.append(Linear(weight, bias))
        return self.linears[-1]


def joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0].contiguous() if len(tensors) == 1 else torch.cat(list(tensors))
