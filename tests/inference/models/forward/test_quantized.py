"""Quantized weights: both kernels against plain arithmetic, rows that do not influence each other, reading in parts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lacuna_inference.models.forward import quantized
from lacuna_inference.models.matrix import Product

SHAPES = [(32, 64), (50, 96), (7, 40), (8, 1), (3, 100)]
needs_integers = pytest.mark.skipif(
    not quantized.multiplies_integers_exactly(), reason="oneDNN has no exact product of 8-bit integers here"
)


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """What a test draws must not depend on the tests that ran before it: a few draws exceed any bound on rounding."""
    torch.manual_seed(0)


def kernel(weight: Tensor, bias: Tensor | None = None) -> Product:
    return quantized.integer_product(*quantized.quantize_rows(weight), bias)


def rounded(weight: Tensor) -> Tensor:
    """The nearest of 255 values for each weight of a row."""
    scales = weight.abs().amax(1, keepdim=True) / 127
    return (weight / scales).round() * scales


@needs_integers
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [1, 3, 70])
def test_activations_lose_nearly_nothing(shape: tuple[int, int], rows: int) -> None:
    weight, bias, x = torch.randn(shape), torch.randn(shape[0]), torch.randn(rows, shape[1])
    x[:, 0] *= 300  # as in real models: 8 bits alone would leave little of the others
    expected = F.linear(x, rounded(weight), bias)
    assert (kernel(weight, bias)(x) - expected).abs().max() <= 2e-4 * expected.abs().max()


@needs_integers
def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    product, x = kernel(torch.randn(50, 96)), torch.randn(20, 96) * torch.logspace(-3, 3, 20)[:, None]
    together = product(x)
    for count in (1, 2, 7):
        assert torch.equal(product(x[:count]), together[:count])


@needs_integers
def test_a_row_of_zeros_stays_zero() -> None:
    product = kernel(torch.randn(8, 16))
    assert not product(torch.zeros(1, 16)).any()
    assert not product(torch.zeros(3, 16)).any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [1, 3, 70])
def test_bfloat16_activations(shape: tuple[int, int], rows: int) -> None:
    """For any row length: nothing after its end may be read."""
    weight, bias, x = torch.randn(shape), torch.randn(shape[0]), torch.randn(rows, shape[1]).bfloat16().float()
    expected = F.linear(x, rounded(weight), bias)
    found = quantized.bfloat16_product(*quantized.quantize_rows(weight), bias)(x)
    assert (found - expected).abs().max() <= 0.02 * expected.abs().max()  # scales and sums are in bfloat16


def test_a_matrix_is_read_a_few_rows_at_a_time() -> None:
    weight = torch.randn(600, 1024)
    read: list[int] = []

    class Counted:
        shape, dtype, device, nbytes = weight.shape, weight.dtype, weight.device, weight.nbytes

        def __getitem__(self, rows: slice) -> Tensor:
            read.append(len(weight[rows]))
            return weight[rows]

    values, scales = quantized.quantize_rows(Counted())
    assert sum(read) == 600
    assert max(read) <= 256
    assert torch.equal(values * scales[:, None], rounded(weight))
