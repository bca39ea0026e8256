"""The tensors of a GGUF file under the names that they have in safetensors, in fp32, read a few rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from torch import Tensor

from lacuna_inference.models.gguf.header import GgufFile, TensorInfo
from lacuna_inference.models.gguf.names import name_in_gguf
from lacuna_inference.models.gguf.rows import Rows

_PAIRED = {"llama": ("attn_q", "attn_k"), "granite": ("attn_q", "attn_k")}
"""Projections, by architecture, that are stored in the pairs that are rotated; safetensors has them in halves."""
_NORMS_WITH_ONE = ("gemma",)
"""Architectures whose norm weights are stored with the 1 that safetensors leaves out."""


class GgufTensors(Mapping[str, Tensor]):
    """The tensors of `file` by their names in safetensors; each is read on access."""

    def __init__(self, file: GgufFile) -> None:
        self._file = file

    def __getitem__(self, name: str) -> Tensor:
        info = self._info(name)
        tensor = Rows(info).read().view(info.shape)
        module = info.name.split(".")[-2]
        if self._file.architecture in _NORMS_WITH_ONE and module.endswith("_norm"):
            return tensor.sub_(1)
        if module not in _PAIRED.get(self._file.architecture, ()):
            return tensor
        return _in_halves(tensor, self._heads(keys=module == "attn_k"))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name_in_gguf(name) in self._file.tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._file.tensors)

    def __len__(self) -> int:
        return len(self._file.tensors)

    def parameters(self) -> int:
        """Number of parameters in the file."""
        return sum(math.prod(info.shape) for info in self._file.tensors.values())

    def shape(self, name: str) -> tuple[int, ...]:
        return self._info(name).shape

    def rows(self, name: str) -> Rows:
        """The matrix `name`, to be read in parts. Only for one whose rows are stored as they are in safetensors."""
        return Rows(self._info(name))

    def _info(self, name: str) -> TensorInfo:
        found = self._file.tensors.get(name_in_gguf(name) or "")
        if found is None:
            raise KeyError(name)
        return found

    def _heads(self, keys: bool) -> int:
        at = f"{self._file.architecture}.attention.head_count"
        queries = self._file.metadata[at]
        return int(self._file.metadata.get(f"{at}_kv", queries) if keys else queries)


def _in_halves(rows: Tensor, heads: int) -> Tensor:
    """Reorders the rows of each head: adjacent dimensions, which are rotated together, go half a head apart."""
    pairs = rows.view(heads, -1, 2, *rows.shape[1:])
    return pairs.transpose(1, 2).reshape(rows.shape)
