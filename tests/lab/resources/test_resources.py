"""What a model needs, and whether it fits: numbers against calculated or published ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_gguf import write_split

from lacuna_inference.errors import BadRequest, LacunaError, ModelUnusable
from lacuna_lab.resources import estimate, report, verdict
from lacuna_lab.resources.measure import MemoryMeasurement
from lacuna_lab.resources.verdict import MemoryBudget

PARAMETERS = {  # from the formulas 2 V d + V + L (12 d^2 + 7 d) + 2 d and V d + L (4 d^2 + 2 d f + 9 d + f) + 2 d
    "CodeGen-350M": 356_712_448, "CodeGen-2B": 2_779_356_160, "CodeGen-6B": 7_064_213_504,
    "CodeGen-16B": 16_032_155_648, "InCoder-1B": 1_312_063_488, "InCoder-6B": 6_651_084_800,
}  # fmt: skip
KIB_A_TOKEN = {  # 2 x layers x width x 2 bytes
    "CodeGen-350M": 80, "CodeGen-2B": 320, "CodeGen-6B": 528, "CodeGen-16B": 816, "InCoder-1B": 192, "InCoder-6B": 512,
}  # fmt: skip


@pytest.mark.parametrize("name", PARAMETERS)
def test_published_shapes_have_their_parameters_and_cache(name: str) -> None:
    found = estimate.sketch(estimate.find(name), 2048)
    assert found.parameters == PARAMETERS[name]
    assert found.weight_bytes("float16") == 2 * PARAMETERS[name]
    assert found.kv_bytes("float16") == 1024 * KIB_A_TOKEN[name]
    assert found.kv_bytes("float32") == found.kv_bytes("int8") == 2048 * KIB_A_TOKEN[name]


@pytest.mark.parametrize(
    "name", ["facebook/incoder-6B", "InCoder-6B", "incoder-6b", "Salesforce/codegen-2B-mono", "codegen-2B-multi"]
)
def test_hub_names_map_to_shapes(name: str) -> None:
    assert estimate.find(name).name in ("InCoder-6B", "CodeGen-2B")


def test_int8_leaves_the_other_tensors_unchanged() -> None:
    found = estimate.sketch(estimate.find("CodeGen-350M"), 2048)
    embedding_and_more = found.parameters - found.multiplied
    assert found.weight_bytes("int8") == found.multiplied + 2 * found.outputs + 4 * embedding_and_more


def test_int4_has_a_scale_and_an_offset_for_32_weights() -> None:
    found = estimate.sketch(estimate.find("CodeGen-350M"), 2048)
    others = found.parameters - found.multiplied
    assert found.weight_bytes("int4") == found.multiplied // 2 + found.multiplied // 32 * 4 + 4 * others


@pytest.mark.parametrize(
    ("text", "count"), [("16GB", 16e9), ("24GiB", 24 * 2**30), ("8192 MiB", 2**33), ("1.5gb", 1.5e9), ("1000", 1000)]
)
def test_sizes_of_cards(text: str, count: float) -> None:
    assert verdict.size(text) == count


@pytest.mark.parametrize("text", ["", "GB", "0GB", "-1GB", "16 apples", "1e3GB", "16GB16"])
def test_invalid_sizes(text: str) -> None:
    with pytest.raises(BadRequest, match="is not a memory size"):
        verdict.size(text)


def judged(name: str, free: float, kind: str = "cuda", context: int = 2048) -> list[verdict.FitVerdict]:
    subject = estimate.find(name)
    return verdict.verdicts(estimate.needs(subject, context), [MemoryBudget("here", kind, int(free))], context, 2048)


def test_a_card_that_is_large_enough_and_one_that_is_not() -> None:
    assert {v.need.dtype: v.fits for v in judged("InCoder-6B", 24e9)} == {
        "float32": False, "float16": True, "bfloat16": True,
    }  # fmt: skip
    assert not any(v.fits or v.context for v in judged("InCoder-6B", 8e9))


def test_the_largest_context_is_one_that_just_fits() -> None:
    """Weights 13.3 GB, half a mebibyte a token: half of the context has room in 14.5 GB."""
    found = next(v for v in judged("InCoder-6B", 14.5e9) if v.need.dtype == "float16")
    assert 0 < found.context < 2048
    room = 14.5e9 - verdict.RESERVED["cuda"]
    assert found.need.total(found.context) <= room < found.need.total(found.context + 1)


@pytest.mark.parametrize(
    ("free", "kind", "advice"),
    [
        (60e9, "cpu", "--dtype float32 fits"),
        (16e9, "cpu", "LACUNA_QUANTIZATION=int8 fits"),
        (24e9, "cuda", "--dtype float16 fits"),
        (14.5e9, "cuda", "fits with --context"),
        (4e9, "cuda", "--device-map auto"),
        (2e9, "cpu", "Choose a smaller model"),
    ],
)
def test_advice(free: float, kind: str, advice: str) -> None:
    assert advice in verdict.advice(judged("InCoder-6B", free, kind), "float16")[0]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"model_type": "llama"}', '{"model_type": "codegen", "n_embd": "x", "rotary_dim": 8}', "{}"],
)
def test_configs_without_a_model(content: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(content)
    with pytest.raises(ModelUnusable):
        estimate.needs(estimate.find(str(file)), 128)


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"model_type": "unheard-of"}')
    with pytest.raises(ModelUnusable, match="unheard-of"):
        estimate.needs(estimate.find(str(file)), 128)


def test_architectures_of_the_library_are_counted_by_it(tmp_path: Path) -> None:
    """Pythia 1B: 1.01 billion parameters, 128 KiB of cache a token in fp16."""
    file = tmp_path / "config.json"
    file.write_text(
        '{"model_type": "gpt_neox", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 8,'
        ' "intermediate_size": 8192, "vocab_size": 50304, "max_position_embeddings": 2048}'
    )
    subject = estimate.find(str(file))
    found = estimate.sketch(subject, 2048)
    assert found.parameters == pytest.approx(1.01e9, rel=0.01)
    assert found.kv_bytes("float16") == 128 * 1024
    assert {need.dtype for need in estimate.needs(subject, 2048)} == {"float32", "float16", "bfloat16"}


def test_santacoder_is_counted_from_its_own_forward(tmp_path: Path) -> None:
    """1.12 billion parameters with its tied head, 12 KiB of cache a token in fp16: all heads share one key."""
    file = tmp_path / "config.json"
    file.write_text(
        '{"model_type": "gpt_bigcode", "n_embd": 2048, "n_layer": 24, "n_head": 16, "n_positions": 2048,'
        ' "vocab_size": 49280, "multi_query": true}'
    )
    found = estimate.sketch(estimate.find(str(file)), 2048)
    assert found.own
    assert found.parameters == pytest.approx(1.12e9, rel=0.01)
    assert found.kv_bytes("float16") == 12 * 1024


def test_an_invalid_model() -> None:
    with pytest.raises(LacunaError):
        estimate.find("no/such-model")


def test_the_measurement_is_shown_next_to_the_estimate() -> None:
    subject = estimate.find("InCoder-1B")
    need = next(n for n in estimate.needs(subject, 2048) if (n.kind, n.dtype) == ("cuda", "float16"))
    measured = MemoryMeasurement(
        "float16", "cuda:0", ("plain",), 2048, need.resident, 0, 2 * need.kv_token * 2048, need.activations, 0,
        need.disk, 1.0,
    )  # fmt: skip
    lines = list(report.compared(estimate.sketch(subject, 2048), need, measured))
    assert next(line for line in lines if line.startswith("| weights")).endswith("| 1.000 |")
    assert next(line for line in lines if line.startswith("| KV")).endswith("| 2.000 |")


def test_the_disk_that_a_gguf_model_takes(tmp_path: Path) -> None:
    parts = write_split(tmp_path, "m", 2)
    for name in (parts[1], tmp_path):
        subject = estimate.find(str(name))
        assert subject.disk_bytes == sum(part.stat().st_size for part in parts)
        assert subject.context == 128
