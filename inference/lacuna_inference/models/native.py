"""Machine code of our own for what eight-bit models spend their time on, compiled from C in packaging.

It needs Linux, a processor with AVX-512 VNNI (`native_avx512.c`) or AVX2 (`native_avx2.c`), and the OpenMP threads of
torch, which it shares. Elsewhere oneDNN and torch do the same work (see `forward/quantized.py`), up to rounding.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from lacuna_inference.models import pages
from lacuna_inference.models.matrix import Matrix, Product
from lacuna_inference.models.packed_weights import Region

LIBRARY = Path(__file__).with_name("native-linux-x86_64.so")
VERSION = 2
"""`lacuna_version` in `native_avx512.c`: the structures, how weights are packed, and how products are rounded."""
MAX_INPUTS = 2**16
"""The sum of more products of two bytes could overflow."""
LANES = 16
"""Values that are computed together; heads whose size is no multiple are left to torch."""
_BLOCK, _FOUR = 64, 4
"""Outputs and inputs that packed weights are padded to a multiple of."""
OUTLIER_SHARE = 8
"""Of this many groups of four inputs, one may have outliers, which take a second byte."""
_NUMBER_BYTES = 4
"""Of a sum and of a scale."""
_CHUNK = 2**18
"""Weights that are packed at once: more do not stay in the processor's cache."""
_MIN_SHARED_ROWS = 8
"""Fewer rows are split by one thread: to wake the others would take longer."""


class Native:
    """The compiled functions whose names begin with `prefix`, and the OpenMP library whose threads run them."""

    def __init__(self, compiled: ctypes.CDLL, openmp: ctypes.CDLL, prefix: str) -> None:
        """Raises AttributeError if a function is missing."""
        self._split, self._multiply, self._attend = (
            _address_of(compiled[prefix + name]) for name in ("split", "multiply", "attend")
        )
        self._pack, self._norm = compiled[prefix + "pack"], compiled[prefix + "norm"]
        self._dequantize = compiled[prefix + "dequantize"]
        self._dequantize.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        self._pack.restype = self._norm.restype = None
        self._thread_number, self._threads = (
            _address_of(openmp[name]) for name in ("omp_get_thread_num", "omp_get_num_threads")
        )
        self._parallel = openmp.GOMP_parallel
        self._parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        self._parallel.restype = None

    def product(self, weight: Matrix, bias: Tensor | None, region: Region | None = None) -> Product:
        """fp32 rows times `weight` [out, in], whose rows are rounded to 8 bits with a scale each.

        They are in `region`, of `packed_bytes`, if it is given; if it is filled, `weight` is not read.
        """
        outputs, inputs = weight.shape
        if region is None:
            region = Region(pages.zeros(packed_bytes(outputs, inputs)), filled=False)
        packed, sums, scales = _parts(region.memory, outputs, inputs)
        if not region.filled:
            self._pack_rows(weight, packed, sums, scales)
        bias = None if bias is None else bias.contiguous()
        template = _Shared(
            weight=packed.data_ptr(), sums=sums.data_ptr(), scales=scales.data_ptr(),
            bias=None if bias is None else bias.data_ptr(), inputs=inputs, outputs=outputs,
            thread_number=self._thread_number, threads=self._threads,
        )  # fmt: skip
        split_bytes, in_use = _row_bytes(inputs), (template, region, bias)

        def multiply(x: Tensor) -> Tensor:
            rows, threads = x.shape[0], torch.get_num_threads()
            x, out = x.contiguous(), torch.empty((rows, outputs))
            split, row_scales = torch.empty(rows * split_bytes, dtype=torch.uint8), torch.empty(2 * rows)
            shared = _Shared.from_buffer_copy(in_use[0])
            shared.x, shared.out, shared.rows = x.data_ptr(), out.data_ptr(), rows
            shared.split, shared.row_scales = split.data_ptr(), row_scales.data_ptr()
            at = ctypes.addressof(shared)
            self._parallel(self._split, at, threads if rows >= _MIN_SHARED_ROWS else 1, 0)
            self._parallel(self._multiply, at, threads, 0)
            return out

        return multiply

    def norm(self, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """The root-mean-square norm of x [rows, width], fp32."""
        x, out = x.contiguous(), torch.empty(x.shape)
        arguments = _Norm(x.data_ptr(), weight.data_ptr(), out.data_ptr(), *x.shape, epsilon)
        self._norm(ctypes.byref(arguments))
        return out

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, start: int, scale: float) -> Tensor:
        """Attention of queries [rows, heads, head_dim] to the keys and values before them and their own.

        `keys` and `values` are [kv heads, start + rows or more, head_dim], in a KV cache. All are fp32, their last
        dimension is contiguous, and `head_dim` is a multiple of `LANES`. Returns [rows, heads * head_dim].
        """
        rows, heads, head_dim = queries.shape
        threads = torch.get_num_threads()
        out, scores = torch.empty((rows, heads * head_dim)), torch.empty(threads * (start + rows))
        arguments = _Attention(
            queries.data_ptr(), keys.data_ptr(), values.data_ptr(), out.data_ptr(), scores.data_ptr(), rows, start,
            heads, len(keys), head_dim, queries.stride(0), keys.stride(0), scale, self._thread_number, self._threads,
        )  # fmt: skip
        self._parallel(self._attend, ctypes.addressof(arguments), threads, 0)
        return out

    def dequantize(self, blocks: Tensor, type_number: int, weights: int) -> Tensor | None:
        """The weights in `blocks`, uint8 [n, bytes of a block], as fp32 [n, weights of a block]; None for other types.

        `type_number` is ggml's number of the type.
        """
        blocks, out = blocks.contiguous(), torch.empty((len(blocks), weights))
        known = self._dequantize(type_number, blocks.data_ptr(), out.data_ptr(), len(blocks))
        return out if known else None

    def _pack_rows(self, weight: Matrix, packed: Tensor, sums: Tensor, scales: Tensor) -> None:
        """Fills these parts of a region of zeros; `weight` is read a few rows at a time."""
        outputs, inputs = weight.shape
        row_bytes = _padded(inputs, _FOUR)
        step = max(_BLOCK, _CHUNK // inputs // _BLOCK * _BLOCK)
        for start in range(0, outputs, step):
            rows = weight[start : start + step].float().contiguous()
            arguments = _Rows(
                rows.data_ptr(), packed.data_ptr() + start * row_bytes, sums[start:].data_ptr(),
                scales[start:].data_ptr(), len(rows), inputs,
            )  # fmt: skip
            self._pack(ctypes.byref(arguments))


def packed_bytes(outputs: int, inputs: int) -> int:
    """Bytes that the packed weights of a layer take, with their sums and scales."""
    padded = _padded(outputs, _BLOCK)
    return padded * (_padded(inputs, _FOUR) + 2 * _NUMBER_BYTES)


def _row_bytes(inputs: int) -> int:
    """Bytes of a split row: a byte for each input, and two lists of outliers with their lengths."""
    fours = _padded(inputs, _FOUR) // _FOUR
    return _FOUR * fours + 2 * _NUMBER_BYTES + 2 * (fours // OUTLIER_SHARE) * 2 * _NUMBER_BYTES


def _parts(memory: Tensor, outputs: int, inputs: int) -> tuple[Tensor, Tensor, Tensor]:
    """The packed weights, their sums and the scales of all outputs, padded to whole blocks."""
    padded = _padded(outputs, _BLOCK)
    packed, sums, scales = torch.split(
        memory, [padded * _padded(inputs, _FOUR), padded * _NUMBER_BYTES, padded * _NUMBER_BYTES]
    )
    return packed, sums.view(torch.int32), scales.view(torch.float32)


class _Shared(ctypes.Structure):
    """`struct product` of `native.h`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("x", "weight", "sums", "scales", "bias", "out", "split", "row_scales")),
        *((name, ctypes.c_int64) for name in ("rows", "inputs", "outputs")),
        *((name, ctypes.c_void_p) for name in ("thread_number", "threads")),
    )


class _Rows(ctypes.Structure):
    """`struct rows` of `native.h`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("rows", "packed", "sums", "scales")),
        *((name, ctypes.c_int64) for name in ("count", "inputs")),
    )


class _Norm(ctypes.Structure):
    """`struct norm` of `native.h`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("x", "weight", "out")),
        *((name, ctypes.c_int64) for name in ("rows", "width")),
        ("epsilon", ctypes.c_float),
    )


class _Attention(ctypes.Structure):
    """`struct attention` of `native.h`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("queries", "keys", "values", "out", "scores")),
        *(
            (name, ctypes.c_int64)
            for name in ("rows", "start", "heads", "kv_heads", "head_dim", "query_stride", "kv_stride")
        ),
        ("scale", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in ("thread_number", "threads")),
    )


@cache
def load() -> Native | None:
    """The compiled functions; None where they cannot be used."""
    prefix = _prefix()
    if not (sys.platform == "linux" and LIBRARY.exists() and prefix):
        return None
    try:
        openmp = _loaded_openmp()
        return None if openmp is None else _checked(LIBRARY, openmp, prefix)
    except (OSError, AttributeError, ValueError):  # without execution, a library that is not GCC's, an old file
        return None


def _prefix() -> str:
    """What the names of this processor's functions begin with; empty if there are none for it."""
    if torch.cpu._is_vnni_supported():
        return "lacuna_"
    return "lacuna_avx2_" if torch.cpu._is_avx2_supported() else ""


def _checked(path: Path, openmp: ctypes.CDLL, prefix: str) -> Native | None:
    """The functions in the file at `path`; None if it was compiled from another version. Raises ValueError."""
    compiled = ctypes.CDLL(str(path))
    is_ours = ctypes.c_int32.in_dll(compiled, "lacuna_version").value == VERSION
    return Native(compiled, openmp, prefix) if is_ours else None


def _loaded_openmp() -> ctypes.CDLL | None:
    """The library of GCC's OpenMP that this process has loaded, with torch; None if there is none, or more than one."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    paths = {line.split(maxsplit=5)[-1] for line in lines if "/libgomp" in line}
    return ctypes.CDLL(paths.pop()) if len(paths) == 1 else None


def _address_of(function: object) -> int | None:
    return ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]


def _padded(length: int, step: int) -> int:
    return -(-length // step) * step
