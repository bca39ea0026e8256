"""Machine code for 8-bit weights: equal to a plain calculation to the last bit, whatever shape, rows and threads."""

from __future__ import annotations

import platform
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lacuna_inference.models import native
from lacuna_inference.models.forward import quantized
from lacuna_inference.models.matrix import Product

ours = native.load()
needs_native = pytest.mark.skipif(ours is None, reason="this processor has no AVX2")


def native_product(weight: Tensor, bias: Tensor | None = None) -> Product:
    assert ours is not None
    return ours.product(weight, bias)


def split(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The bytes of rows, those of their outliers, what a step of both means; all but the bytes [rows, 1]."""
    largest = x.abs().amax(1, keepdim=True).clamp_min(1e-12)
    fours = F.pad(x, (0, -x.shape[1] % 4)).view(len(x), -1, 4).abs().amax(-1)
    buckets = (fours.view(torch.int32) >> 20).sort(1, descending=True).values
    exceeded = buckets[:, fours.shape[1] // native.OUTLIER_SHARE :][:, :1]
    limit = torch.minimum(((exceeded + 1) << 20).view(torch.float32), largest)
    limit = torch.maximum(limit, largest / 253)
    step, times = limit / 127, largest / limit
    steps = x / step
    coarse = torch.where(x.abs() > limit, (steps / times).round(), 0.0)
    return (steps - coarse * times).round(), coarse, step, times


def plain_product(weight: Tensor, bias: Tensor | None) -> Product:
    """What the machine code computes, with sums of whole numbers in fp64."""
    rounded, scales = quantized.quantize_rows(weight)

    def product(x: Tensor) -> Tensor:
        fine, coarse, step, times = split(x)
        sums, outliers = (part.double() @ rounded.double().T for part in (fine, coarse))
        result = (sums.float() + outliers.float() * times) * scales * step
        return result if bias is None else result + bias

    return product


def wild(rows: int, inputs: int) -> Tensor:
    """Rows of very different sizes, some with one value that is far larger than the others."""
    x = torch.randn(rows, inputs) * torch.logspace(-6, 6, rows)[:, None]
    x[::2, 0] *= 1000
    return x


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="made for Linux on x86-64")
def test_it_was_compiled_when_lacuna_was_installed() -> None:
    assert native.LIBRARY.exists()


@pytest.mark.skipif(not torch.cpu._is_vnni_supported(), reason="this processor has no AVX-512 VNNI")
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 60])
def test_code_for_older_processors_gives_the_same(rows: int) -> None:
    openmp = native._loaded_openmp()
    assert openmp is not None
    older = native._checked(native.LIBRARY, openmp, "lacuna_avx2_")
    assert older is not None
    weight, bias, x = torch.randn(150, 130), torch.randn(150), wild(rows, 130)
    assert torch.equal(older.product(weight, bias)(x), native_product(weight, bias)(x))


@needs_native
@settings(deadline=None, max_examples=60)
@given(outputs=st.integers(1, 300), inputs=st.integers(1, 300), rows=st.integers(1, 70), seed=st.integers(0, 99))
def test_equal_to_a_plain_calculation(outputs: int, inputs: int, rows: int, seed: int) -> None:
    torch.manual_seed(seed)
    weight, bias, x = torch.randn(outputs, inputs), torch.randn(outputs) if seed % 2 else None, wild(rows, inputs)
    assert torch.equal(native_product(weight, bias)(x), plain_product(weight, bias)(x))


@needs_native
@settings(deadline=None, max_examples=100)
@given(
    inputs=st.integers(1, 200), share=st.floats(0, 1), decades=st.floats(0, 12), seed=st.integers(0, 2**16)
)  # fmt: skip
def test_outliers_of_any_number_and_size(inputs: int, share: float, decades: float, seed: int) -> None:
    """At most an eighth of the fours get a second byte; with fewer outliers, all that is small stays exact."""
    torch.manual_seed(seed)
    weight, x = torch.randn(5, inputs), torch.randn(3, inputs)
    x *= torch.where(torch.rand(3, inputs) < share, 10**decades, 1.0)
    product = native_product(weight)
    assert torch.equal(product(x), plain_product(weight, None)(x))
    for edge in (x.new_full((1, inputs), 2.0), x.sign(), torch.zeros(1, inputs), x * 1e-30, x * 1e18):
        assert torch.equal(product(edge), plain_product(weight, None)(edge))


@needs_native
def test_outliers_leave_the_other_values_exact() -> None:
    """Against fp64: one 8-bit row would lose all that is small beside a value that is a thousand times larger."""
    weight, x = torch.randn(64, 512), torch.randn(8, 512)
    x[:, ::100] *= 1000
    rounded, scales = quantized.quantize_rows(weight)
    exact = x.double() @ (rounded.double() * scales.double()[:, None]).T
    small = x.clone()
    small[:, ::100] = 0
    error = (native_product(weight)(x).double() - exact).norm(dim=1)
    assert (error < 0.05 * (small.double() @ weight.double().T).norm(dim=1)).all()


@needs_native
def test_large_matrices_are_packed_in_parts() -> None:
    weight, x = torch.randn(700, 1500), wild(5, 1500)
    assert torch.equal(native_product(weight)(x), plain_product(weight, None)(x))


@needs_native
@pytest.mark.parametrize("rows", [1, 2, 3, 25, 100])
def test_the_number_of_threads_changes_nothing(rows: int) -> None:
    product, x, threads = native_product(torch.randn(130, 70)), wild(rows, 70), torch.get_num_threads()
    try:
        found = [product(x) for count in (1, 2, 5) if torch.set_num_threads(count) is None]
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@needs_native
def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    product, x = native_product(torch.randn(100, 96)), wild(50, 96)
    together = product(x)
    for count in (1, 2, 7, 49):
        assert torch.equal(product(x[-count:]), together[-count:])


@needs_native
def test_several_threads_may_use_a_product() -> None:
    product, inputs = native_product(torch.randn(300, 200)), [torch.randn(rows, 200) for rows in (1, 2, 9, 40)]
    expected = [product(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(product, inputs * 50))
    assert all(torch.equal(one, other) for one, other in zip(found, expected * 50, strict=True))


@needs_native
def test_rows_that_are_not_contiguous() -> None:
    product, x = native_product(torch.randn(64, 32)), wild(4, 64)
    assert torch.equal(product(x[:, ::2]), product(x[:, ::2].contiguous()))


@needs_native
def test_what_is_no_number_stays_none() -> None:
    product, x = native_product(torch.ones(8, 16)), torch.zeros(2, 16)
    for number in (float("nan"), float("inf"), -float("inf")):
        x[1, 3] = number
        found = product(x)
        assert not found[0].any()
        assert found[1].isnan().all()
    weight = torch.ones(8, 16)
    weight[5, 2] = float("nan")
    assert native_product(weight)(torch.ones(1, 16)).isnan().tolist() == [[n == 5 for n in range(8)]]


@needs_native
@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [(14, 2, 64), (4, 4, 16), (3, 1, 80), (2, 2, 128)])
@pytest.mark.parametrize(("start", "rows"), [(0, 1), (0, 3), (17, 4), (200, 1)])
def test_attention(heads: int, kv_heads: int, head_dim: int, start: int, rows: int) -> None:
    """Against fp64; queries are so long that most keys get nothing, and what follows the rows is no number."""
    assert ours is not None
    queries = torch.randn(rows, heads + 2, head_dim) * torch.linspace(0.1, 30, heads + 2)[:, None]
    cache = torch.full((2 * kv_heads, start + rows + 5, head_dim), float("nan"))
    cache[:, : start + rows] = torch.randn(2 * kv_heads, start + rows, head_dim)
    keys, values = cache[:kv_heads], cache[kv_heads:]
    found = ours.attend(queries[:, :heads], keys, values, start, head_dim**-0.5)
    expected = F.scaled_dot_product_attention(
        queries[:, :heads].transpose(0, 1)[None].double(),
        keys[None, :, : start + rows].double(),
        values[None, :, : start + rows].double(),
        attn_mask=torch.ones(rows, start + rows, dtype=torch.bool).tril(start),
        enable_gqa=True,
    )
    torch.testing.assert_close(found.double(), expected[0].transpose(0, 1).reshape(rows, -1), rtol=1e-5, atol=1e-5)


@needs_native
@pytest.mark.parametrize("width", [16, 50, 896])
def test_norm(width: int) -> None:
    assert ours is not None
    x, weight = wild(4, width), torch.randn(width)
    torch.testing.assert_close(ours.norm(x, weight, 1e-6), F.rms_norm(x, (width,), weight, 1e-6), rtol=1e-5, atol=1e-6)


def test_without_the_library_other_products_do_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, x = torch.randn(8, 16), torch.randn(3, 16)
    expected = quantized.int8(weight, None)(x)
    monkeypatch.setattr(native, "LIBRARY", native.LIBRARY.with_name("missing.so"))
    native.load.cache_clear()
    try:
        assert native.load() is None
        torch.testing.assert_close(quantized.int8(weight, None)(x), expected, rtol=0.02, atol=0.1)
    finally:
        monkeypatch.undo()
        native.load.cache_clear()
