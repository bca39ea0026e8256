"""Turns the blocks of GGUF tensors into fp32.

The types of which published code models consist are computed in our own machine code where it can be used, else with
torch, several times faster than by the library `gguf`, which does the others. The layouts are those of ggml
(ggml-common.h); tests compare every type with the library.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lacuna_inference.models import native
from lacuna_inference.models.gguf.types import GGML_TYPES, GgmlType

_Dequantizer = Callable[[Tensor], Tensor]
"""Blocks uint8 [n, bytes of a block] -> fp32 [n, weights of a block]."""
_HALF = 32
"""Weights that share a scale in the types of 32, and in Q4_K and Q5_K."""


def dequantize(blocks: Tensor, kind: GgmlType) -> Tensor:
    """The weights fp32 [rows, columns] in `blocks`, uint8 [rows, bytes of a row], of the type `kind`."""
    rows = len(blocks)
    if (plain := _PLAIN.get(kind.name)) is not None:
        return blocks.view(plain).float()
    if (ours := native.load()) is not None:
        weights = ours.dequantize(blocks.reshape(-1, kind.nbytes), _NUMBERS[kind.name], kind.weights)
        if weights is not None:
            return weights.view(rows, -1)
    dequantizer = _DEQUANTIZERS.get(kind.name)
    if dequantizer is None:
        return _by_library(blocks, kind)
    return dequantizer(blocks.reshape(-1, kind.nbytes)).reshape(rows, -1)


def _q4_0(blocks: Tensor) -> Tensor:
    return _nibbles(blocks[:, 2:]).sub_(8).mul_(_half(blocks, 0))


def _q4_1(blocks: Tensor) -> Tensor:
    return _nibbles(blocks[:, 4:]).mul_(_half(blocks, 0)).add_(_half(blocks, 2))


def _q5_0(blocks: Tensor) -> Tensor:
    return _with_fifth_bits(blocks[:, 6:], blocks[:, 2:6]).sub_(16).mul_(_half(blocks, 0))


def _q5_1(blocks: Tensor) -> Tensor:
    return _with_fifth_bits(blocks[:, 8:], blocks[:, 4:8]).mul_(_half(blocks, 0)).add_(_half(blocks, 2))


def _q8_0(blocks: Tensor) -> Tensor:
    return blocks[:, 2:].view(torch.int8).float().mul_(_half(blocks, 0))


def _q4_k(blocks: Tensor) -> Tensor:
    weights = _pairs_of_halves(blocks[:, 16:144])
    return _scaled_with_minimum(weights, blocks)


def _q5_k(blocks: Tensor) -> Tensor:
    bits = blocks[:, None, 16:48] >> torch.arange(8, dtype=torch.uint8)[:, None]
    weights = _pairs_of_halves(blocks[:, 48:176]).add_((bits & 1).float(), alpha=16)
    return _scaled_with_minimum(weights, blocks)


def _q6_k(blocks: Tensor) -> Tensor:
    low = blocks[:, :128].view(-1, 2, 1, 64)
    low = torch.cat((low & 15, low >> 4), 2).view(-1, 2, 4, _HALF)
    high = (blocks[:, 128:192].view(-1, 2, 1, _HALF) >> torch.tensor([0, 2, 4, 6], dtype=torch.uint8)[:, None]) & 3
    weights = ((high << 4) | low).float().sub_(32)
    scales = blocks[:, 192:208].view(torch.int8).float() * _half(blocks, 208)
    return weights.view(-1, 16, 16).mul_(scales[:, :, None])


def _half(blocks: Tensor, at: int) -> Tensor:
    """The fp16 numbers at byte `at` of each block, as fp32 [n, 1]."""
    return blocks[:, at : at + 2].contiguous().view(torch.float16).float()


def _nibbles(values: Tensor) -> Tensor:
    """The low halves of all bytes [n, 16], then the high ones, as fp32 [n, 32]."""
    return torch.cat((values & 15, values >> 4), 1).float()


def _with_fifth_bits(values: Tensor, bits: Tensor) -> Tensor:
    """Nibbles [n, 16] with a fifth bit from `bits` [n, 4], as fp32 [n, 32]."""
    fifth = ((bits[:, :, None] >> torch.arange(8, dtype=torch.uint8)) & 1).view(-1, _HALF)
    return (torch.cat((values & 15, values >> 4), 1) | (fifth << 4)).float()


def _pairs_of_halves(values: Tensor) -> Tensor:
    """128 bytes as 8 runs of 32: of every 32 bytes the low halves, then the high ones. fp32 [n, 8, 32]."""
    runs = values.reshape(-1, 4, 1, _HALF)
    return torch.cat((runs & 15, runs >> 4), 2).view(-1, 8, _HALF).float()


def _scaled_with_minimum(weights: Tensor, blocks: Tensor) -> Tensor:
    """Applies the 6-bit scales and minima at byte 4 of each block to `weights` [n, 8, 32], in place."""
    packed = blocks[:, 4:16].view(-1, 3, 4)
    first, second, rest = packed[:, 0], packed[:, 1], packed[:, 2]
    scales = torch.cat((first & 63, (rest & 15) | ((first >> 6) << 4)), 1).float() * _half(blocks, 0)
    minima = torch.cat((second & 63, (rest >> 4) | ((second >> 6) << 4)), 1).float() * _half(blocks, 2)
    return weights.mul_(scales[:, :, None]).sub_(minima[:, :, None])


def _by_library(blocks: Tensor, kind: GgmlType) -> Tensor:
    from gguf import GGMLQuantizationType, quants  # its import takes longer than a header

    return torch.from_numpy(quants.dequantize(blocks.numpy(), GGMLQuantizationType[kind.name]))


_NUMBERS = {kind.name: number for number, kind in GGML_TYPES.items()}
_PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}
_DEQUANTIZERS: dict[str, _Dequantizer] = {
    "Q4_0": _q4_0, "Q4_1": _q4_1, "Q5_0": _q5_0, "Q5_1": _q5_1, "Q8_0": _q8_0,
    "Q4_K": _q4_k, "Q5_K": _q5_k, "Q6_K": _q6_k,
}  # fmt: skip
