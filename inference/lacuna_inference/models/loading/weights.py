"""The tensors of a model by name, read one at a time, in the requested dtype and on the requested device."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.forward.linear import Linear
from lacuna_inference.models.gguf.header import TensorInfo
from lacuna_inference.models.gguf.rows import Rows, StackedRows
from lacuna_inference.models.gguf.types import GGML_TYPES
from lacuna_inference.models.loading.quantizing import Quantizer

logger = logging.getLogger(__name__)

Shapes: TypeAlias = dict[str, tuple[int, ...]]
"""Shapes of tensors by name."""
_TYPES = {kind.name: kind for kind in GGML_TYPES.values() if kind.name in ("F32", "F16", "BF16")}
"""Types of safetensors whose rows can be read one by one; GGUF has them under the same names."""
Lookup: TypeAlias = Callable[[Tensor], Tensor]
"""Token ids [n] -> embeddings [n, width]."""


class TensorFiles(Mapping[str, Tensor]):
    """The tensors of safetensors files; each is read on access."""

    def __init__(self, paths: Iterable[Path], stack: ExitStack) -> None:
        """The files are open until `stack` is closed."""
        self._files: dict[str, Any] = {}
        self._places: dict[str, TensorInfo] = {}
        for path in paths:
            file = stack.enter_context(safe_open(path, framework="pt"))
            self._files |= dict.fromkeys(file.keys(), file)
            self._places |= places(path)

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def rows(self, name: str) -> Rows | None:
        """The matrix `name`, to be read in parts; None if it has a type that is read only whole."""
        info = self._places.get(name)
        return None if info is None or len(info.shape) != 2 else Rows(info)

    def parameters(self) -> int:
        """Number of parameters in the files."""
        return sum(int(torch.Size(self.shape(name)).numel()) for name in self._files)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._files[name].get_slice(name).get_shape())


class StoredTensors(Protocol):
    """Tensors in files, whose shapes are known without reading them."""

    def __contains__(self, name: object, /) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...

    def shape(self, name: str) -> tuple[int, ...]: ...


def require(tensors: StoredTensors, shapes: Shapes) -> None:
    """Raises ModelUnusable if a tensor is missing or has another shape; logs a warning about extra layers."""
    for name in shapes:
        if name not in tensors:
            raise missing_tensor(name)
        if tensors.shape(name) != shapes[name]:
            raise ModelUnusable(
                f"The tensor {name} is {_by(tensors.shape(name))}, and the config asks for {_by(shapes[name])}.",
                "Config and weights do not match: fetch the model again.",
            )
    kinds = {_kind(name) for name in shapes}
    if extra := sorted(name for name in set(tensors) - shapes.keys() if _kind(name) in kinds):
        logger.warning("The weights have more layers than the config says; ignoring %s ...", extra[0])


def places(path: Path) -> dict[str, TensorInfo]:
    """Where the tensors of a safetensors file are: it begins with the length of a JSON object that says it."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        entries = json.loads(stream.read(length))
    return {
        name: TensorInfo(
            name, _TYPES[entry["dtype"]], tuple(entry["shape"]), path, 8 + length + entry["data_offsets"][0]
        )
        for name, entry in entries.items()
        if name != "__metadata__" and entry["dtype"] in _TYPES
    }


class HostCopies(Mapping[str, Tensor]):
    """The tensors of `files` in `dtype`; those read so far stay in host memory, in `kept`."""

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


class MetaTensors(Mapping[str, Tensor]):
    """Tensors that have only a shape: on the meta device, without memory."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes

    def __getitem__(self, name: str) -> Tensor:
        return torch.empty(self._shapes[name], device="meta")

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


class Weights:
    """`tensors` in one dtype on one device, and the layers built from them; `linears` are all linear layers so far."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        dtype: torch.dtype,
        device: torch.device,
        quantizer: Quantizer | None = None,
    ) -> None:
        """With a `quantizer`, layers are quantized as soon as they are read; they can be used when it is done."""
        self._tensors, self.dtype, self.device, self._quantizer = tensors, dtype, device, quantizer
        self._embedding: Tensor | None = None
        self.linears: list[Linear] = []

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def take(self, name: str) -> Tensor:
        """The tensor `name`, in its own memory. Raises ModelUnusable if there is none.

        A tensor in a mapped file would keep all pages of the file that were read.
        """
        tensor, mapped = self._read(name)
        return tensor.clone() if mapped else tensor

    def optional(self, name: str) -> Tensor | None:
        return self.take(name) if name in self else None

    def embedding(self, name: str) -> Lookup:
        """The embedding of tokens: ids [n] to rows [n, width].

        Where the layers are quantized, its rows stay in the file: a prompt looks up few of them.
        """
        if self._quantizer is not None and (rows := self._rows(name)) is not None:
            return rows.lookup
        self._embedding = weight = self.take(f"{name}.weight")
        return lambda ids: F.embedding(ids, weight)

    def head(self, name: str, embedding: str) -> Linear:
        """The layer `name`; where the model has none, that of the `embedding`, which was taken before."""
        if f"{name}.weight" in self:
            return self.linear(name)
        return self.linear(embedding) if self._embedding is None else self.layer(self._embedding)

    def linear(self, *names: str) -> Linear:
        """The layers `names`, which read the same input, fused into one."""
        biases = [self.optional(f"{name}.bias") for name in names]
        present = [bias for bias in biases if bias is not None]
        bias = concatenated(present) if len(present) == len(names) else None
        if self._quantizer is not None:
            rows = [part for part in map(self._rows, names) if part is not None]
            if len(rows) == len(names):
                self.linears.append(self._quantizer.layer(StackedRows(rows), bias))
                return self.linears[-1]
        read = [self._read(f"{name}.weight") for name in names]
        weight = concatenated([tensor for tensor, _ in read])
        return self.layer(weight, bias, mapped=len(read) == 1 and read[0][1])

    def layer(self, weight: Tensor, bias: Tensor | None = None, mapped: bool = False) -> Linear:
        """The layer with this weight [out, in]; `mapped` if the weight is in a memory-mapped file."""
        quantizer = self._quantizer
        self.linears.append(Linear(weight, bias, mapped) if quantizer is None else quantizer.layer(weight, bias))
        return self.linears[-1]

    def _rows(self, name: str) -> Rows | None:
        """The matrix of layer `name`, to be read from its file in parts, if the file allows that."""
        read_rows = getattr(self._tensors, "rows", None)
        return None if read_rows is None else cast(Rows | None, read_rows(f"{name}.weight"))

    def _read(self, name: str) -> tuple[Tensor, bool]:
        """The tensor, and whether it may still be in the file that it was read from."""
        if name not in self._tensors:
            raise missing_tensor(name)
        stored = self._tensors[name]
        tensor = stored.to(device=self.device, dtype=self.dtype)
        return tensor, tensor is stored


def _kind(name: str) -> str:
    """The name of a tensor without the number of its layer."""
    return re.sub(r"\.\d+\.", ".N.", name)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def missing_tensor(name: str) -> ModelUnusable:
    """The error for a tensor that config.json asks for and the weights lack."""
    return ModelUnusable(f"The model's files lack the tensor {name}.", "Fetch the model again.")


def concatenated(tensors: Sequence[Tensor]) -> Tensor:
    """All rows in one tensor. `torch.cat` would take two seconds to start on the meta device."""
    if len(tensors) == 1:
        return tensors[0].contiguous()
    sizes = [len(tensor) for tensor in tensors]
    whole = tensors[0].new_empty((sum(sizes), *tensors[0].shape[1:]))
    for rows, tensor in zip(torch.split(whole, sizes), tensors, strict=True):
        rows.copy_(tensor)
    return whole
