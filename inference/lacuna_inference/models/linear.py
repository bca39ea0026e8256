"""Matrix products for few rows: the one place where a forward spends its time.

A decoded token multiplies every weight by one row, or by a few when drafts are verified; then the product is as fast
as the weights can be read. The libraries are far from that in some of these cases, so on a CPU the fastest of some
ways to write the same product is measured once for each model (`fastest`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Product = Callable[[Tensor, Tensor], Tensor]
"""x [tokens, in], weight [out, in] -> [tokens, out]."""


def rows(x: Tensor, weight: Tensor) -> Tensor:
    """As the library writes it."""
    return F.linear(x, weight)


def columns(x: Tensor, weight: Tensor) -> Tensor:
    """Transposed: for few rows some libraries choose a better kernel."""
    return (weight @ x.T).T


def columns_in_pairs(x: Tensor, weight: Tensor) -> Tensor:
    """Transposed, and a single row doubled: matrix-vector kernels may use one thread where matrix kernels use all."""
    if len(x) > 1:
        return (weight @ x.T).T
    return (weight @ torch.cat((x, x)).T)[:, :1].T


WAYS: tuple[Product, ...] = (rows, columns, columns_in_pairs)


class Linear:
    """x [tokens, in] -> [tokens, out], by the product `way`."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None, way: Product = rows) -> None:
        self.weight, self.bias, self.way = weight, bias, way

    def __call__(self, x: Tensor) -> Tensor:
        product = self.way(x, self.weight)
        return product if self.bias is None else product + self.bias

    @property
    def dtype(self) -> torch.dtype:
        return self.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.weight.device


def tune(layers: Sequence[Linear], repeats: int = 3) -> Product:
    """Gives `layers` the way that is fastest for one row, measured over all of them in turn; the way itself.

    In turn, because a weight that lies in the processor's cache would tell nothing of one that is read from memory.
    """
    if layers[0].device.type != "cpu":
        return rows
    inputs = {layer.weight.shape[1]: torch.ones(1, layer.weight.shape[1], dtype=layer.dtype) for layer in layers}
    taken = {way: min(_seconds(way, layers, inputs) for _ in range(repeats)) for way in WAYS}
    best = min(taken, key=lambda way: taken[way])
    for layer in layers:
        layer.way = best
    return best


def _seconds(way: Product, layers: Sequence[Linear], inputs: dict[int, Tensor]) -> float:
    started = time.perf_counter()
    with torch.inference_mode():
        for layer in layers:
            way(inputs[layer.weight.shape[1]], layer.weight)
    return time.perf_counter() - started
