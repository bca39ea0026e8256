"""What a linear layer is made of: a weight, and the product with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]
"""[tokens, in] -> [tokens, out]."""


class Matrix(Protocol):
    """A weight [out, in]: a tensor, or rows that are read from a file when they are asked for."""

    @property
    def shape(self) -> torch.Size: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def nbytes(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Tensor: ...
