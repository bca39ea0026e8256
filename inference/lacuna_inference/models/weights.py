"""The tensors of a model by their names, read one by one, in the dtype and on the device where they are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.linear import Linear


class TensorFiles(Mapping[str, Tensor]):
    """The tensors of some safetensors files; each is read when it is asked for."""

    def __init__(self, paths: Iterable[Path], stack: ExitStack) -> None:
        """The files stay open until `stack` is closed."""
        self._files: dict[str, Any] = {}
        for path in paths:
            file = stack.enter_context(safe_open(path, framework="pt"))
            self._files |= dict.fromkeys(file.keys(), file)

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def parameters(self) -> int:
        """How many numbers the files hold."""
        shapes = (file.get_slice(name).get_shape() for name, file in self._files.items())
        return sum(int(torch.Size(shape).numel()) for shape in shapes)


class Copies(Mapping[str, Tensor]):
    """The tensors of `files` in `dtype`; those that were read stay in host memory, in `kept`."""

    def __init__(self, files: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        self._files, self._dtype = files, dtype
        self.kept: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.kept:
            self.kept[name] = self._files[name].to(self._dtype, copy=True)
        return self.kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


class Weights:
    """`tensors` in one dtype on one device, and layers made of them; `linears` are all that were made."""

    def __init__(self, tensors: Mapping[str, Tensor], dtype: torch.dtype, device: torch.device) -> None:
        self._tensors, self._dtype, self._device = tensors, dtype, device
        self.linears: list[Linear] = []

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def take(self, name: str) -> Tensor:
        """The tensor called `name`. Raises ModelUnusable when there is none."""
        if name not in self._tensors:
            raise ModelUnusable(f"The model's files lack the tensor {name}.", "Fetch the model again.")
        return self._tensors[name].to(device=self._device, dtype=self._dtype)

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
