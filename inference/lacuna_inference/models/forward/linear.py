"""Matrix products for few rows: the one place where a forward spends its time.

A decoded token multiplies every weight by one row, or by a few when drafts are verified; then the product is as fast
as the weights can be read. On a CPU the libraries' plain products are far from that (`tune` says how far), so a layer
is given the fastest of some ways to write them, measured once for each model.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Product = Callable[[Tensor], Tensor]
"""[tokens, in] -> [tokens, out]."""
Kernel = Callable[[Tensor, Tensor | None], Product]
"""Makes the product of a weight [out, in] and a bias [out]."""
Products = Mapping[Kernel, Sequence[Product]]
"""The products of all layers, written in some ways."""
MAX_DECODE_ROWS = 2
"""Rows that count as one: a kernel for one column uses one thread where a kernel for two may use all."""
MAX_TWO_LAYOUTS_BYTES = 256 * 2**20
"""Models of at most this size may keep their weights in two orders."""
_MIN_RUNS, _MEASURED_S = 3, 0.025
"""Runs of each way that are measured, and seconds at least: a choice by few short runs would be left to chance."""
_DRAFT_LENGTHS = (7, 3, 1)
_LARGE_PAGE, _LINE = 2 * 2**20, 64
"""Bytes of a page, and of a line of the processor's cache."""
_MAX_DRAFT_COST = 1.7
"""A pass may take this much longer for the sake of a draft."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How products are written for up to `FEW` rows and for more, and the longest draft that costs little."""

    decode_kernel: Kernel
    batch_kernel: Kernel
    max_draft_tokens: int


class Linear:
    """x [tokens, in] -> [tokens, out]."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None, mapped: bool = False) -> None:
        """A weight that is `mapped` lies in a file: it is copied when it is to stay as it is."""
        self._weight: Tensor | None = weight
        self._bias, self._mapped = bias, mapped
        (self.outputs, self.inputs), self.nbytes = weight.shape, weight.nbytes
        self.dtype, self.device = weight.dtype, weight.device
        self.decode_product = self.batch_product = plain(weight, bias)
        self.column_weight: Tensor | None = None
        """The weight, where `columns` is used for few rows and there is no bias."""

    def __call__(self, x: Tensor) -> Tensor:
        return self.decode_product(x) if len(x) <= MAX_DECODE_ROWS else self.batch_product(x)

    def set_kernels(self, few: Kernel, many: Kernel) -> None:
        """Writes the product so from now on; what no way needs of the weight is given back. Only once."""
        assert self._weight is not None
        weight, self._weight = self._weight, None
        if self._mapped and not {few, many} <= {packed, int8, int4}:
            weight = weight.clone()
        self.batch_product = many(weight, self._bias)
        self.decode_product = self.batch_product if few is many else few(weight, self._bias)
        self.column_weight = weight if few is columns and self._bias is None else None

    def relocate(self, place: Callable[[Tensor], Tensor]) -> None:
        """Puts the weight where `place` copies it to."""
        assert self._weight is not None
        self._weight, self._mapped = place(self._weight), False

    def product_of(self, way: Kernel) -> Product:
        """The product in one way, to be measured."""
        assert self._weight is not None
        return way(self._weight, self._bias)


def plain(weight: Tensor, bias: Tensor | None) -> Product:
    """As the library writes it."""
    return lambda x: F.linear(x, weight, bias)


def columns(weight: Tensor, bias: Tensor | None) -> Product:
    """Transposed, and a single row doubled. Rows that do not lie one after the other would take five times as long."""

    def product(x: Tensor) -> Tensor:
        result = (weight @ torch.cat((x, x)).T)[:, :1].T if len(x) == 1 else (weight @ x.contiguous().T).T
        return result if bias is None else result + bias

    return product


def packed(weight: Tensor, bias: Tensor | None) -> Product:
    """With the weight in the order that oneDNN reads it in; packed once, where the library packs it for every call."""
    ordered = torch.ops.mkldnn._reorder_linear_weight(weight, _PACKED_FOR)

    def product(x: Tensor) -> Tensor:
        rows = len(x)
        missing = _filled(rows) - rows
        filled = F.pad(x, (0, 0, 0, missing)) if missing else x
        result: Tensor = torch.ops.mkldnn._linear_pointwise(filled, ordered, bias, "none", [], "")
        return result[:rows]

    return product


_PACKED_FOR = 64
"""Rows that the order is made for. It was the fastest for 3 rows and more, and near the fastest for one."""


def _filled(rows: int) -> int:
    """How many rows are multiplied for `rows`: oneDNN keeps a program for every number that it meets, for ever.

    Four at least: 1.2 GB of weights took 60 ms for one row and 48 for four.
    """
    step = 4 if rows <= 8 else 16 if rows <= 64 else 32
    return -(-rows // step) * step


def int8(weight: Tensor, bias: Tensor | None) -> Product:
    """With weights of eight bits, a scale for each output, and bfloat16 activations: a quarter of fp32's bytes to read.

    With fp32 activations the library's kernel is many times slower. It reads rows in whole pieces, and where they are
    not whole, beyond their end: so they are filled up.
    """
    missing = -weight.shape[1] % _INT8_INPUTS
    scales = weight.float().abs().amax(1).clamp_min(1e-12) / 127
    quantised = F.pad((weight.float() / scales[:, None]).round().to(torch.int8), (0, missing))
    scales = scales.bfloat16()

    def product(x: Tensor) -> Tensor:
        filled = F.pad(x.bfloat16(), (0, missing))
        result: Tensor = torch.ops.aten._weight_int8pack_mm(filled, quantised, scales).to(x.dtype)
        return result if bias is None else result + bias

    return product


def int4(weight: Tensor, bias: Tensor | None) -> Product:
    """With weights of four bits, a scale and an offset for every `GROUP` of a row, and bfloat16 activations.

    Rows that are no whole number of groups long get eight bits.
    """
    outputs, inputs = weight.shape
    if inputs % GROUP:
        return int8(weight, bias)
    groups = F.pad(weight.float(), (0, 0, 0, -outputs % _INT4_OUTPUTS)).view(-1, inputs // GROUP, GROUP)
    lowest = groups.amin(-1)
    scales = ((groups.amax(-1) - lowest) / _INT4_LARGEST).clamp_min(1e-12)
    quantised = ((groups - lowest[..., None]) / scales[..., None]).round().clamp(0, _INT4_LARGEST).to(torch.int32)
    ordered = torch.ops.aten._convert_weight_to_int4pack_for_cpu(quantised.flatten(1), 1)
    middles = lowest + scales * ((_INT4_LARGEST + 1) // 2)
    scales_and_middles = torch.stack((scales, middles), -1).transpose(0, 1).contiguous().bfloat16()

    def product(x: Tensor) -> Tensor:
        found = torch.ops.aten._weight_int4pack_mm_for_cpu(x.bfloat16(), ordered, GROUP, scales_and_middles)
        result: Tensor = found[:, :outputs].to(x.dtype)
        return result if bias is None else result + bias

    return product


GROUP = 32
"""Weights of four bits that share a scale and an offset."""
_INT8_INPUTS = 16
"""Weights of eight bits that the kernel reads together."""
_INT4_LARGEST, _INT4_OUTPUTS = 15, 16
"""The largest number, and the rows that the kernel reads together."""
QUANTIZED_KERNELS: dict[str, Kernel] = {"int8": int8, "int4": int4}
"""By the names of the setting `quantization`."""


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this build has the operators, and they compute what they should for `dtype`."""
    weight, x = torch.eye(16, dtype=dtype), torch.ones(3, 16, dtype=dtype)
    try:
        return bool(torch.equal(packed(weight, None)(x), x))
    except (RuntimeError, AttributeError, NotImplementedError):
        return False


def keep_plain(layers: Sequence[Linear]) -> Tuning:
    """Leaves all products as the library writes them."""
    for layer in layers:
        layer.set_kernels(plain, plain)
    return UNTUNED


UNTUNED = Tuning(plain, plain, _DRAFT_LENGTHS[0])


def quantize(layers: Sequence[Linear], way: Kernel) -> Tuning:
    """Gives all `layers` weights of few bits, in one of the ways in `QUANTISED`."""
    for layer in layers:
        layer.set_kernels(way, way)
    return Tuning(way, way, _DRAFT_LENGTHS[0])


def tune(layers: Sequence[Linear]) -> Tuning:
    """Gives `layers` the fastest ways, measured over all of them in turn; says which.

    In turn, because a weight that lies in the processor's cache would tell nothing of one that is read from memory.
    On two cores of an EPYC with AVX-512, `plain` reads a model of 52 MB at 11 GB/s for one row and at 7 GB/s for four;
    `columns` at 32 and 22, `packed` at 22 and 26. A model of 604 MB: `plain` 18 and 8, `columns` 22 and 13, `packed` 22
    and 24.
    """
    if layers[0].device.type != "cpu":
        return UNTUNED
    tuning = _fastest(layers)
    size = sum(layer.nbytes for layer in layers)
    place = (
        _large_pages(size, len(layers)) if tuning.decode_kernel is columns and size <= MAX_TWO_LAYOUTS_BYTES else None
    )
    for layer in layers:
        if place is not None:
            layer.relocate(place)
        layer.set_kernels(tuning.decode_kernel, tuning.batch_kernel)
    return tuning


def layouts_kept(dtype: torch.dtype, size: int) -> tuple[str, ...]:
    """Which orders of the weights `tune` may keep, at most, of products of `size` bytes; the names of its ways."""
    packs = can_pack(dtype)
    if size > MAX_TWO_LAYOUTS_BYTES:
        return (packed.__name__,) if packs else (plain.__name__,)
    return (columns.__name__, packed.__name__) if packs else (columns.__name__,)


def _large_pages(size: int, count: int) -> Callable[[Tensor], Tensor]:
    """Copies up to `count` tensors, `size` bytes in all, into one piece of memory of large pages, if Linux has them.

    Reading 52 MB in pages of 4 KiB took a twentieth longer.
    """
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return lambda tensor: tensor
    piece = mmap.mmap(-1, size + _LARGE_PAGE + count * _LINE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without them
        piece.madvise(mmap.MADV_HUGEPAGE)
    memory = torch.frombuffer(piece, dtype=torch.uint8)
    used = -memory.data_ptr() % _LARGE_PAGE

    def place(tensor: Tensor) -> Tensor:
        nonlocal used
        copy = memory[used : used + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        used += -(-tensor.nbytes // _LINE) * _LINE
        return copy.copy_(tensor)

    return place


def _fastest(layers: Sequence[Linear]) -> Tuning:
    ways = [plain, columns, *([packed] if can_pack(layers[0].dtype) else [])]
    if sum(layer.nbytes for layer in layers) > MAX_TWO_LAYOUTS_BYTES and packed in ways:
        return Tuning(packed, packed, _DRAFT_LENGTHS[0])  # measured: reads at the memory's speed up to eight rows
    products: Products = {way: [layer.product_of(way) for layer in layers] for way in ways}
    one, four = (_seconds(layers, products, rows) for rows in (1, 4))
    few, many = min(ways, key=one.__getitem__), min(ways, key=four.__getitem__)
    cheap = [
        drafted
        for drafted in _DRAFT_LENGTHS
        if _pass_s(layers, products, few, many, drafted + 1) <= _MAX_DRAFT_COST * one[few]
    ]
    return Tuning(few, many, next(iter(cheap), 0))


def _pass_s(layers: Sequence[Linear], products: Products, few: Kernel, many: Kernel, rows: int) -> float:
    way = few if rows <= MAX_DECODE_ROWS else many
    return _seconds(layers, {way: products[way]}, rows)[way]


def _seconds(layers: Sequence[Linear], products: Products, rows: int) -> dict[Kernel, float]:
    """The shortest of some runs of each way through all layers, the ways in turn."""
    inputs = {layer.inputs: torch.ones(rows, layer.inputs, dtype=layer.dtype) for layer in layers}
    taken: dict[Kernel, list[float]] = {way: [] for way in products}
    with torch.inference_mode():
        while min(map(len, taken.values())) < _MIN_RUNS or sum(map(sum, taken.values())) < _MEASURED_S * len(taken):
            for way, made in products.items():
                started = time.perf_counter()
                for layer, product in zip(layers, made, strict=True):
                    product(inputs[layer.inputs])
                taken[way].append(time.perf_counter() - started)
    return {way: min(runs) for way, runs in taken.items()}
