"""Linear layers with quantized weights, on a CPU: a quarter or an eighth of fp32's bytes to keep and to read.

8-bit weights have a scale for each output. Activations cannot simply be rounded to 8 bits: a few are hundreds of times
larger than the rest (Dettmers et al., 2022, arXiv 2208.07339), and on Qwen2.5-Coder-0.5B the divergence from fp32 was
ten times that of the weights alone. Our own machine code takes the largest ones apart (`native.h`), at 1.2 times that
divergence. oneDNN multiplies two rows for each, the second holding the rounding error of the first, in one pass over
the weights; their sum is as exact as 16-bit activations. Integer products are exact, so that a row's result does not
depend on the rows beside it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lacuna_inference.models import native
from lacuna_inference.models.forward.linear import Kernel, Linear, Tuning
from lacuna_inference.models.matrix import Matrix, Product
from lacuna_inference.models.packed_weights import PackedWeights, Region

GROUP = 32
"""4-bit weights that share a scale and an offset."""
_CHUNK = 2**18
"""Weights that are quantized at once: more do not stay in the processor's cache."""
_LARGEST, _REST, _ZERO = 127, 254, 128
"""The largest 8-bit value, how much finer the second row of activations is, and what stands for zero in both: they are
unsigned, because the instructions that most processors have (VNNI) multiply unsigned by signed integers. Signed ones
took oneDNN a thousand times as long on an EPYC."""
_TINY = 1e-12
"""The least scale of a row, for one that is all zeros."""
_PACK_INPUTS = 16
"""8-bit weights that torch's own kernel reads together."""
_INT4_LARGEST, _INT4_OUTPUTS = 15, 16
"""The largest 4-bit value, and the rows that the kernel reads together."""
_MAX_DRAFT = 7


def quantize(layers: Sequence[Linear], kernel: Kernel) -> Tuning:
    """Quantizes the weights of all `layers` for `kernel`, one of `QUANTIZED_KERNELS`."""
    for layer in layers:
        layer.set_kernels(kernel, kernel)
    return tuning_of(kernel)


def tuning_of(kernel: Kernel) -> Tuning:
    """The selection for layers that were quantized for `kernel`."""
    return Tuning(kernel, kernel, _MAX_DRAFT)


def int8(weight: Matrix, bias: Tensor | None, region: Region | None = None) -> Product:
    """With 8-bit weights, in the fastest of three ways on this processor.

    Our own machine code has them in `region`, if it is given.
    """
    ours = native.load()
    if ours is not None and weight.shape[1] <= native.MAX_INPUTS:
        return ours.product(weight, bias, region)
    quantized, scales = quantize_rows(weight)
    if _onednn_multiplies_integers():
        return integer_product(quantized, scales, bias)
    return bfloat16_product(quantized, scales, bias)


def int8_in(packed: PackedWeights, weight: Matrix) -> Kernel:
    """`int8` with the packed weights in the next region of `packed`, which has those of this `weight`."""
    return partial(int8, region=packed.region(native.packed_bytes(*weight.shape)))


def int4(weight: Matrix, bias: Tensor | None) -> Product:
    """With 4-bit weights, a scale and an offset for every `GROUP` weights of a row, and bfloat16 activations.

    Weights whose rows are not a whole number of groups get 8 bits.
    """
    outputs, inputs = weight.shape
    if inputs % GROUP:
        return int8(weight, bias)
    groups = F.pad(weight[:].float(), (0, 0, 0, -outputs % _INT4_OUTPUTS)).view(-1, inputs // GROUP, GROUP)
    lowest = groups.amin(-1)
    scales = ((groups.amax(-1) - lowest) / _INT4_LARGEST).clamp_min(1e-12)
    quantized = ((groups - lowest[..., None]) / scales[..., None]).round().clamp(0, _INT4_LARGEST).to(torch.int32)
    packed_weight = torch.ops.aten._convert_weight_to_int4pack_for_cpu(quantized.flatten(1), 1)
    middles = lowest + scales * ((_INT4_LARGEST + 1) // 2)
    scales_and_middles = torch.stack((scales, middles), -1).transpose(0, 1).contiguous().bfloat16()

    def product(x: Tensor) -> Tensor:
        padded = torch.ops.aten._weight_int4pack_mm_for_cpu(x.bfloat16(), packed_weight, GROUP, scales_and_middles)
        result: Tensor = padded[:, :outputs].to(x.dtype)
        return result if bias is None else result + bias

    return product


QUANTIZED_KERNELS: dict[str, Kernel] = {"int8": int8, "int4": int4}
"""By the values of the setting `quantization`."""


def arithmetic_of(quantization: str) -> str:
    """Which of the products that differ in their rounding is used here for `quantization`, on a CPU."""
    if quantization == "int8" and native.load() is not None:
        return f"8-bit activations, outliers apart, {native.VERSION}"
    return "16-bit activations" if quantization == "int8" and _onednn_multiplies_integers() else "bfloat16 activations"


def same_with_any_threads(quantization: str) -> bool:
    """Whether results on a CPU do not depend on the number of threads, down to the last bit: integers have no order."""
    return quantization == "int8" and _multiplies_integers()


def can_be_kept(quantization: str) -> bool:
    """Whether weights packed for `quantization` can be in a `PackedWeights` here."""
    return quantization == "int8" and native.load() is not None


def _multiplies_integers() -> bool:
    return native.load() is not None or _onednn_multiplies_integers()


def quantize_rows(weight: Matrix) -> tuple[Tensor, Tensor]:
    """The rows of `weight` as int8 [out, in], and the fp32 scale of each [out]; read a few rows at a time."""
    outputs, inputs = weight.shape
    quantized, scales = torch.empty((outputs, inputs), dtype=torch.int8), torch.empty(outputs)
    step = max(1, _CHUNK // inputs)
    for start in range(0, outputs, step):
        rows = weight[start : start + step].float()
        torch.div(rows.abs().amax(1).clamp_min_(_TINY), _LARGEST, out=scales[start : start + step])
        quantized[start : start + step] = (rows / scales[start : start + step, None]).round_()
    return quantized, scales


def integer_product(quantized: Tensor, scales: Tensor, bias: Tensor | None) -> Product:
    """With oneDNN's product of 8-bit integers."""
    packed = torch.ops.onednn.qlinear_prepack(quantized, None)
    zeros = torch.zeros(len(quantized), dtype=torch.int32)

    def product(x: Tensor) -> Tensor:
        rows = len(x)
        both, x_scales = _split_row(x) if rows == 1 else _split_rows(x)
        products: Tensor = torch.ops.onednn.qlinear_pointwise(
            both, 1.0, _ZERO, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        result = torch.add(products[:rows], products[rows:], alpha=1 / _REST).mul_(x_scales)
        return result if bias is None else result.add_(bias)

    return product


def _split_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of 8 bits, then as many with the rests, uint8 [2 * rows, in]; and the scale of each row [rows, 1]."""
    x_scales = x.abs().amax(1, keepdim=True).clamp_min_(_TINY).div_(_LARGEST)
    scaled = x / x_scales
    first = scaled.round()
    rest = scaled.sub_(first).mul_(_REST).round_()
    return torch.cat((first, rest)).add_(_ZERO).to(torch.uint8), x_scales


def _split_row(x: Tensor) -> tuple[Tensor, float]:
    """The same for one row, to the last bit: numpy takes half of torch's time for small operations."""
    row = x.numpy()[0]
    x_scale = max(np.abs(row).max(), np.float32(_TINY)) / np.float32(_LARGEST)
    scaled = row / x_scale
    both = np.empty((2, len(row)), np.uint8)
    first = np.rint(scaled)
    both[0] = first + np.float32(_ZERO)
    np.subtract(scaled, first, out=scaled)
    np.multiply(scaled, np.float32(_REST), out=scaled)
    np.rint(scaled, out=scaled)
    both[1] = np.add(scaled, np.float32(_ZERO), out=scaled)
    return torch.from_numpy(both), float(x_scale)


def bfloat16_product(quantized: Tensor, scales: Tensor, bias: Tensor | None) -> Product:
    """With torch's own product of bfloat16 activations and 8-bit weights: with fp32 activations it is far slower.

    It reads rows in whole blocks, past the end of a row that is no multiple of a block, so rows are padded.
    """
    padding = -quantized.shape[1] % _PACK_INPUTS
    padded_weight, short_scales = F.pad(quantized, (0, padding)), scales.bfloat16()

    def product(x: Tensor) -> Tensor:
        padded = F.pad(x.bfloat16(), (0, padding))
        result: Tensor = torch.ops.aten._weight_int8pack_mm(padded, padded_weight, short_scales).to(x.dtype)
        return result if bias is None else result + bias

    return product


@cache
def multiplies_integers_exactly() -> bool:
    """Whether oneDNN multiplies 8-bit integers here. Without such instructions, sums of two products overflow."""
    try:
        product = integer_product(_sample(), torch.ones(_SAMPLE), None)
        return torch.allclose(product(torch.ones(4, _SAMPLE)), _sample().float().sum(1).expand(4, -1))
    except (RuntimeError, AttributeError, NotImplementedError):
        return False


@cache
def _onednn_multiplies_integers() -> bool:
    """Whether the product of integers is right here, and made for this processor. Measured once, in milliseconds.

    Where it is, prompts are several times faster with it. A closer comparison would be decided by what else runs.
    """
    if not multiplies_integers_exactly():
        return False
    product, other = (make(_sample(), torch.ones(_SAMPLE), None) for make in (integer_product, bfloat16_product))
    return _seconds(product) < _NOT_MADE_FOR_IT * _seconds(other)


def _sample() -> Tensor:
    weight = torch.full((_SAMPLE, _SAMPLE), _LARGEST, dtype=torch.int8)
    weight[::2] = -_LARGEST
    return weight


_SAMPLE = 1024
_NOT_MADE_FOR_IT = 20
"""A product that takes this many times as long has no kernel for this processor."""


def _seconds(product: Product) -> float:
    """The shortest of several runs over one row."""
    x, runs = torch.ones(1, _SAMPLE), []
    with torch.inference_mode():
        for _ in range(5):
            start = time.perf_counter()
            product(x)
            runs.append(time.perf_counter() - start)
    return min(runs)
