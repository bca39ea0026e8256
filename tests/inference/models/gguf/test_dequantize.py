"""Every type of a GGUF tensor: its sizes, and its weights, as the library `gguf` has them."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch

from lacuna_inference.models import native
from lacuna_inference.models.gguf.dequantize import dequantize
from lacuna_inference.models.gguf.types import GGML_TYPES

READ = ["F32", "F16", "BF16", "F64", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
READ += ["IQ4_NL", "IQ4_XS", "IQ3_S", "MXFP4"]
ROWS, COLUMNS = 5, 512


@pytest.mark.parametrize("number", GGML_TYPES)
def test_sizes(number: int) -> None:
    kind, theirs = GGML_TYPES[number], gguf.GGMLQuantizationType(number)
    assert (kind.name, (kind.weights, kind.nbytes)) == (theirs.name, gguf.GGML_QUANT_SIZES[theirs])


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", READ)
def test_weights(name: str, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setattr(native, "load", lambda: None)
    kind = next(kind for kind in GGML_TYPES.values() if kind.name == name)
    random = np.random.default_rng(7)
    blocks = random.integers(0, 256, (ROWS, COLUMNS // kind.weights * kind.nbytes), np.uint8)
    if kind.name == "F64":
        blocks = random.standard_normal((ROWS, COLUMNS)).view(np.uint8)
        expected = blocks.view(np.float64).astype(np.float32)
    else:
        with np.errstate(all="ignore"):
            expected = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[kind.name])
    found = dequantize(torch.from_numpy(blocks), kind)
    assert found.dtype is torch.float32
    assert np.array_equal(found.numpy(), expected, equal_nan=True)
