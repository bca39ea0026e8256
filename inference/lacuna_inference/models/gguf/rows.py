"""A matrix in a file, read a few rows at a time, whatever the type of its weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import FileIO

import torch
from torch import Tensor

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.gguf.dequantize import dequantize
from lacuna_inference.models.gguf.header import TensorInfo

_CHUNK = 2**18
"""Weights that are turned into fp32 at once: more do not stay in the processor's cache, and take twice the time."""


class Rows:
    """A matrix in a file. `rows[start:end]` reads those rows as fp32 [rows, columns].

    The file is read, not mapped: the pages of a mapped one would count as this process's memory.
    """

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, info: TensorInfo) -> None:
        self.shape = torch.Size((math.prod(info.shape[:-1]), info.shape[-1]))
        self._info, self._row_bytes = info, info.nbytes // self.shape[0]
        self._file = FileIO(info.path)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Tensor:
        start, end, _ = rows.indices(len(self))
        return self._dequantized(self._read(start, end - start))

    @property
    def nbytes(self) -> int:
        """Bytes of the whole matrix in fp32."""
        return self.shape.numel() * self.dtype.itemsize

    @property
    def step(self) -> int:
        """The number of rows to read at once."""
        return max(1, _CHUNK // self.shape[1])

    def lookup(self, ids: Tensor) -> Tensor:
        """The rows numbered `ids`, int64 [n]: fp32 [n, columns]."""
        return self._dequantized(bytearray().join(self._read(number, 1) for number in ids.tolist()))

    def read(self) -> Tensor:
        """The whole matrix."""
        whole = torch.empty(self.shape)
        for start in range(0, len(self), self.step):
            whole[start : start + self.step] = self[start : start + self.step]
        return whole

    def _dequantized(self, rows: bytearray) -> Tensor:
        blocks = torch.frombuffer(rows, dtype=torch.uint8).view(-1, self._row_bytes)
        return dequantize(blocks, self._info.type)

    def _read(self, row: int, count: int) -> bytearray:
        """The bytes of `count` rows from `row` on."""
        self._file.seek(self._info.offset + row * self._row_bytes)
        rows = bytearray(count * self._row_bytes)
        wanted = memoryview(rows)
        while wanted:
            if not (read := self._file.readinto(wanted)):
                raise ModelUnusable(f"{self._info.path} became shorter while it was read.", "Fetch the file again.")
            wanted = wanted[read:]
        return rows


class StackedRows:
    """Matrices with the same columns, one below the other."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, parts: Sequence[Rows]) -> None:
        self._parts = parts
        self.shape = torch.Size((sum(map(len, parts)), parts[0].shape[1]))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Tensor:
        start, end, _ = rows.indices(len(self))
        pieces: list[Tensor] = []
        for part in self._parts:
            if start < len(part) and end > 0:
                pieces.append(part[max(0, start) : end])
            start, end = start - len(part), end - len(part)
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    @property
    def nbytes(self) -> int:
        """Bytes of all in fp32."""
        return sum(part.nbytes for part in self._parts)
