"""Linear layers for few rows, with a kernel tuner: the fastest kernels are measured once for each model.

Decoding multiplies every weight by one row, or by a few rows when drafts are verified. Such a product is bound by
memory bandwidth: it can be as fast as the weights can be read. On a CPU, torch's default kernels are far slower (`tune`
gives figures), so `tune` measures several kernels on the model's layers and selects one for decoding and one for
batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lacuna_inference.models import pages
from lacuna_inference.models.matrix import Matrix, Product

Kernel = Callable[[Any, Tensor | None], Product]
"""Makes the product of a weight [out, in] and a bias [out]. Kernels for quantized weights take any `Matrix`."""
Products = Mapping[Kernel, Sequence[Product]]
"""The products of all layers, for each kernel."""
MAX_DECODE_ROWS = 2
"""Up to this many rows use the decode kernel: a kernel for one column uses one thread where one for two may use all."""
MAX_TWO_LAYOUTS_BYTES = 256 * 2**20
"""Models of at most this size may keep their weights in two layouts."""
_MIN_RUNS, _MEASURED_S = 3, 0.025
"""Least runs and seconds that each kernel is measured for: the result of a few short runs would be left to chance."""
DRAFT_LENGTHS = (7, 3, 1)
_LARGE_PAGE, _CACHE_LINE = 2 * 2**20, 64
"""Bytes of a large page, and of a line of the processor's cache."""
MAX_DRAFT_COST = 1.7
"""A pass with a draft may take this many times as long as one without."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What `tune` selected: kernels for up to `MAX_DECODE_ROWS` rows and for more, and the longest cheap draft."""

    decode_kernel: Kernel
    batch_kernel: Kernel
    max_draft_tokens: int


class Linear:
    """x [tokens, in] -> [tokens, out]."""

    def __init__(self, weight: Matrix, bias: Tensor | None = None, mapped: bool = False) -> None:
        """A `mapped` weight is in a memory-mapped file: it is copied if its kernel keeps it as it is.

        One that is no tensor needs kernels for quantized weights.
        """
        self._weight: Tensor | None = cast(Tensor, weight)
        self._bias, self._mapped = bias, mapped
        (self.outputs, self.inputs), self.nbytes = weight.shape, weight.nbytes
        self.dtype, self.device = weight.dtype, weight.device
        self.decode_product = self.batch_product = plain(cast(Tensor, weight), bias)
        self.column_weight: Tensor | None = None
        """The weight, where `columns` is the decode kernel and there is no bias."""

    def __call__(self, x: Tensor) -> Tensor:
        return self.decode_product(x) if len(x) <= MAX_DECODE_ROWS else self.batch_product(x)

    def set_kernels(self, decode_kernel: Kernel, batch_kernel: Kernel) -> None:
        """Selects the kernels; memory of the weight that neither needs is freed. Can be called only once."""
        assert self._weight is not None
        weight, self._weight = self._weight, None
        if self._mapped and {decode_kernel, batch_kernel} & {plain, columns}:
            weight = weight.clone()
        self.batch_product = batch_kernel(weight, self._bias)
        self.decode_product = self.batch_product if decode_kernel is batch_kernel else decode_kernel(weight, self._bias)
        self.column_weight = weight if decode_kernel is columns and self._bias is None else None

    def relocate(self, copy: Callable[[Tensor], Tensor]) -> None:
        """Replaces the weight by its `copy`."""
        assert self._weight is not None
        self._weight, self._mapped = copy(self._weight), False

    def product_of(self, kernel: Kernel) -> Product:
        """The product with `kernel`, to be measured."""
        assert self._weight is not None
        return kernel(self._weight, self._bias)


def plain(weight: Tensor, bias: Tensor | None) -> Product:
    """Torch's default kernel."""
    return lambda x: F.linear(x, weight, bias)


def columns(weight: Tensor, bias: Tensor | None) -> Product:
    """Transposed, with a single row doubled. Rows that are not contiguous would take five times as long."""

    def product(x: Tensor) -> Tensor:
        result = (weight @ torch.cat((x, x)).T)[:, :1].T if len(x) == 1 else (weight @ x.contiguous().T).T
        return result if bias is None else result + bias

    return product


def packed(weight: Tensor, bias: Tensor | None) -> Product:
    """With the weight in oneDNN's own layout; packed once, where torch's default packs it at every call."""
    packed_weight = torch.ops.mkldnn._reorder_linear_weight(weight, _PACKED_FOR_ROWS)

    def product(x: Tensor) -> Tensor:
        rows = len(x)
        padding = _padded_rows(rows) - rows
        padded = F.pad(x, (0, 0, 0, padding)) if padding else x
        result: Tensor = torch.ops.mkldnn._linear_pointwise(padded, packed_weight, bias, "none", [], "")
        return result[:rows]

    return product


_PACKED_FOR_ROWS = 64
"""Rows that the layout is optimized for. It was the fastest for 3 rows and more, and nearly the fastest for one."""


def _padded_rows(rows: int) -> int:
    """`rows` rounded up: oneDNN keeps a compiled program for every number of rows that it meets, forever.

    At least four: 1.2 GB of weights took 60 ms for one row and 48 for four.
    """
    step = 4 if rows <= 8 else 16 if rows <= 64 else 32
    return -(-rows // step) * step


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this build of torch has the operators of `packed`, and they compute correctly in `dtype`."""
    weight, x = torch.eye(16, dtype=dtype), torch.ones(3, 16, dtype=dtype)
    try:
        return bool(torch.equal(packed(weight, None)(x), x))
    except (RuntimeError, AttributeError, NotImplementedError):
        return False


def keep_plain(layers: Sequence[Linear]) -> Tuning:
    """Gives all `layers` torch's default kernel."""
    for layer in layers:
        layer.set_kernels(plain, plain)
    return UNTUNED


UNTUNED = Tuning(plain, plain, DRAFT_LENGTHS[0])


def tune(layers: Sequence[Linear]) -> Tuning:
    """The kernel tuner: measures the kernels over all `layers`, selects the fastest and returns the selection.

    Each run goes through all layers: a weight that is in the processor's cache would not show how fast one is read from
    memory. On two cores of an EPYC with AVX-512, `plain` reads a model of 52 MB at 11 GB/s for one row and at 7 GB/s
    for four; `columns` at 32 and 22, `packed` at 22 and 26. A model of 604 MB: `plain` 18 and 8, `columns` 22 and 13,
    `packed` 22 and 24.
    """
    if layers[0].device.type != "cpu":
        return UNTUNED
    tuning = _fastest(layers)
    size = sum(layer.nbytes for layer in layers)
    copy = (
        _large_pages(size, len(layers)) if tuning.decode_kernel is columns and size <= MAX_TWO_LAYOUTS_BYTES else None
    )
    for layer in layers:
        if copy is not None:
            layer.relocate(copy)
        layer.set_kernels(tuning.decode_kernel, tuning.batch_kernel)
    return tuning


def layouts_kept(dtype: torch.dtype, size: int) -> tuple[str, ...]:
    """The layouts of the weights that `tune` may keep at most for layers of `size` bytes, as names of kernels."""
    packs = can_pack(dtype)
    if size > MAX_TWO_LAYOUTS_BYTES:
        return (packed.__name__,) if packs else (plain.__name__,)
    return (columns.__name__, packed.__name__) if packs else (columns.__name__,)


def _large_pages(size: int, count: int) -> Callable[[Tensor], Tensor]:
    """Copies up to `count` tensors, `size` bytes in all, into one block of large pages."""
    memory = pages.zeros(size + _LARGE_PAGE + count * _CACHE_LINE)
    used = -memory.data_ptr() % _LARGE_PAGE

    def copied(tensor: Tensor) -> Tensor:
        nonlocal used
        copy = memory[used : used + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        used += -(-tensor.nbytes // _CACHE_LINE) * _CACHE_LINE
        return copy.copy_(tensor)

    return copied


def _fastest(layers: Sequence[Linear]) -> Tuning:
    kernels = [plain, columns, *([packed] if can_pack(layers[0].dtype) else [])]
    if sum(layer.nbytes for layer in layers) > MAX_TWO_LAYOUTS_BYTES and packed in kernels:
        return Tuning(packed, packed, DRAFT_LENGTHS[0])  # measured: reads at the memory's speed up to eight rows
    products: Products = {kernel: [layer.product_of(kernel) for layer in layers] for kernel in kernels}
    one_row, four_rows = (_seconds(layers, products, rows) for rows in (1, 4))
    decode_kernel, batch_kernel = min(kernels, key=one_row.__getitem__), min(kernels, key=four_rows.__getitem__)
    cheap = [
        length
        for length in DRAFT_LENGTHS
        if _pass_s(layers, products, decode_kernel, batch_kernel, length + 1) <= MAX_DRAFT_COST * one_row[decode_kernel]
    ]
    return Tuning(decode_kernel, batch_kernel, next(iter(cheap), 0))


def _pass_s(
    layers: Sequence[Linear], products: Products, decode_kernel: Kernel, batch_kernel: Kernel, rows: int
) -> float:
    kernel = decode_kernel if rows <= MAX_DECODE_ROWS else batch_kernel
    return _seconds(layers, {kernel: products[kernel]}, rows)[kernel]


def _seconds(layers: Sequence[Linear], products: Products, rows: int) -> dict[Kernel, float]:
    """The shortest of several runs of each kernel through all layers. The kernels alternate."""
    inputs = {layer.inputs: torch.ones(rows, layer.inputs, dtype=layer.dtype) for layer in layers}
    seconds: dict[Kernel, list[float]] = {kernel: [] for kernel in products}
    with torch.inference_mode():
        while min(map(len, seconds.values())) < _MIN_RUNS or sum(map(sum, seconds.values())) < _MEASURED_S * len(
            seconds
        ):
            for kernel, kernel_products in products.items():
                start = time.perf_counter()
                for layer, product in zip(layers, kernel_products, strict=True):
                    product(inputs[layer.inputs])
                seconds[kernel].append(time.perf_counter() - start)
    return {kernel: min(runs) for kernel, runs in seconds.items()}
