"""Models in GGUF files give the logits of the same models in safetensors."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
import torch
from gguf_files import Q8_0, as_gguf
from tests.helpers import save_tiny_model

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.architectures.registry import ForwardSpec
from lacuna_inference.models.forward.network import OwnForward
from lacuna_inference.models.gguf.config import config_of
from lacuna_inference.models.gguf.header import read_gguf
from lacuna_inference.models.gguf.rows import Rows, StackedRows
from lacuna_inference.models.gguf.tensors import GgufTensors
from lacuna_inference.models.loading import sources

IDS = [5, 9, 2, 40, 7, 7, 31, 3]


def spec(quantization: str = "none") -> ForwardSpec:
    return ForwardSpec(torch.float32, torch.device("cpu"), 64, quantization, tuned=False)


def forward_of(file: Path, quantization: str = "none") -> OwnForward:
    header = read_gguf(file)
    return registry.build(config_of(header), GgufTensors(header), spec(quantization))


def logits_of(forward: OwnForward) -> torch.Tensor:
    return forward.step(IDS, forward.new_kv_cache(), len(IDS))


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "granite", "gemma", "starcoder2"])
def test_logits_are_those_of_the_safetensors(name: str, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path, name)
    expected = logits_of(registry.read(sources.find(str(folder)), spec()))
    assert (logits_of(forward_of(as_gguf(folder))) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize(("attn_factor", "magnitude"), [(None, None), (1.0, 1.1386), (0.5, 0.5693)])
def test_a_file_s_factor_multiplies_yarn_s_magnitude(
    attn_factor: float | None, magnitude: float | None, tmp_path: Path
) -> None:
    """As in llama.cpp. In a config.json, `attention_factor` is the magnitude itself: 1 + ln(4) / 10 by default."""
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "qwen2")
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(4.0)
    writer.add_rope_scaling_orig_ctx_len(32)
    if attn_factor is not None:
        writer.add_rope_scaling_attn_factors(attn_factor)
    writer.add_token_list(["a"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    scaling = config_of(read_gguf(tmp_path / "model.gguf"))["rope_scaling"]
    assert scaling["rope_type"] == "yarn"
    assert scaling.get("attention_factor") == (None if magnitude is None else pytest.approx(magnitude, abs=1e-4))


@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_eight_bits_in_the_file_and_in_memory_stay_near(name: str, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path, name)
    expected = logits_of(registry.read(sources.find(str(folder)), spec()))
    found = logits_of(forward_of(as_gguf(folder, Q8_0), "int8"))
    assert 0 < (found - expected).abs().max() <= 0.05 * expected.abs().max()


def test_eight_bits_of_safetensors_are_read_in_parts(tmp_path: Path) -> None:
    """The rows of the embedding stay in the file."""
    folder = save_tiny_model(tmp_path)
    expected = logits_of(registry.read(sources.find(str(folder)), spec()))
    found = logits_of(registry.read(sources.find(str(folder)), spec("int8")))
    assert 0 < (found - expected).abs().max() <= 0.07 * expected.abs().max()


def test_rows_are_found_in_any_order(tmp_path: Path) -> None:
    header = read_gguf(as_gguf(save_tiny_model(tmp_path), Q8_0))
    rows = Rows(header.tensors["token_embd.weight"])
    whole = rows.read()
    ids = torch.tensor([7, 0, len(rows) - 1, 7])
    assert torch.equal(rows.lookup(ids), whole[ids])
    assert torch.equal(rows[3:9], whole[3:9])


def test_matrices_one_below_the_other(tmp_path: Path) -> None:
    header = read_gguf(as_gguf(save_tiny_model(tmp_path), Q8_0))
    parts = [Rows(header.tensors[f"blk.0.ffn_{name}.weight"]) for name in ("gate", "up", "gate")]
    stacked, whole = StackedRows(parts), torch.cat([part.read() for part in parts])
    assert stacked.shape == whole.shape
    for start in range(0, len(whole), 7):
        for end in (start + 1, start + len(parts[0]), len(whole)):
            assert torch.equal(stacked[start:end], whole[start:end])


def test_a_file_that_shrinks_is_named(tmp_path: Path) -> None:
    file = as_gguf(save_tiny_model(tmp_path))
    header = read_gguf(file)
    tensors = GgufTensors(header)
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size // 2)
    with pytest.raises(ModelUnusable, match=r"model\.gguf became shorter"):
        sum(tensors[name].sum() for name in registry.tensors(config_of(header)))


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    header = read_gguf(as_gguf(save_tiny_model(tmp_path)))
    with pytest.raises(KeyError):
        GgufTensors(header)["model.layers.99.mlp.up_proj.weight"]
    assert "model.norm.weight" in GgufTensors(header)
    assert "no such tensor" not in GgufTensors(header)
