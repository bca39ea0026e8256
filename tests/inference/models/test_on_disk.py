"""The list of models on this disk, and what is said of GGUF files from their headers."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import save_tiny_model
from small_gguf import in_hub, in_ollama, write_gguf, write_split

from lacuna_inference.api import BUNDLED, ModelOptions
from lacuna_inference.models import facts, soundness
from lacuna_inference.models.bandwidth import measured
from lacuna_inference.models.llama_cpp import library
from lacuna_inference.models.loading import memory, sources, stored
from lacuna_inference.models.on_disk import OnDisk, on_disk

CPU = ModelOptions(device="cpu")
SIZES = {"token_embd.weight": (6, 32), "blk.0.attn_q.weight": (32, 32)}


def listed(options: ModelOptions = CPU) -> dict[str, OnDisk]:
    return {model.name: model for model in on_disk(options)}


def test_the_bundled_model(no_models: Path) -> None:
    (bundled,) = on_disk(CPU)
    assert (bundled.name, bundled.fits, bundled.family, bundled.type) == (BUNDLED, True, "lacuna", "F16")
    assert bundled.problem == ""
    assert bundled.bytes > 20_000_000
    assert 1.5 * bundled.bytes < bundled.read_bytes < 2.1 * bundled.bytes  # in fp32
    eight_bits = listed(replace(CPU, quantization="int8"))[BUNDLED]
    assert eight_bits.read_bytes == pytest.approx(bundled.read_bytes / 4, rel=0.01)


def test_models_of_every_program(no_models: Path, tmp_path: Path) -> None:
    home, file = no_models, write_gguf(tmp_path / "m.gguf")
    in_ollama(home / ".ollama" / "models", "registry.ollama.ai/library/qwen/0.5b", [("model", file)])
    write_gguf(home / ".lmstudio" / "models" / "P" / "R" / "m.gguf")
    write_gguf(home / ".cache" / "llama.cpp" / "p_r_m.gguf")
    in_hub(home / "hub", "some/repo", ["a-Q8_0.gguf", "sub/b-Q4_0.gguf", "mmproj-a.gguf"])
    names = [BUNDLED, "some/repo:a-Q8_0.gguf", "some/repo:sub/b-Q4_0.gguf", "ollama:qwen:0.5b", "lmstudio:P/R/m.gguf",
             "llama.cpp:p_r_m.gguf"]  # fmt: skip
    found = listed()
    assert list(found) == names
    for name in names[1:]:
        assert (found[name].type, found[name].family, found[name].fits) == ("Q8_0", "qwen2.5-coder", True)
        assert found[name].problem == ""
        assert found[name].bytes == Path(found[name].path).stat().st_size
        assert str(sources.find(name).path) == found[name].path


def test_the_model_of_the_settings(no_models: Path, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "m.gguf")
    assert str(file) in listed(replace(CPU, model=str(file)))
    assert list(listed(replace(CPU, model=str(tmp_path / "none.gguf")))) == [BUNDLED]


def test_a_folder_in_the_hub_s_cache(no_models: Path, tmp_path: Path) -> None:
    snapshot = in_hub(no_models / "hub", "some/model", [])
    save_tiny_model(snapshot, "gpt_bigcode", "starcoder")
    row = listed()["some/model"]
    assert (row.type, row.family, row.fits, row.problem) == ("F32", "starcoder", True, "")
    weights = (snapshot / "model.safetensors").stat().st_size
    assert 0 < row.read_bytes < weights <= row.bytes


def test_broken_models_are_listed_with_their_faults(
    no_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "is_installed", lambda: False)
    home, whole = no_models, write_gguf(tmp_path / "m.gguf", tensors=SIZES)
    folder = home / ".lmstudio" / "models" / "P" / "R"
    write_split(folder, "split", 2)[1].unlink()
    (folder / "cut.gguf").write_bytes(whole.read_bytes()[:600])
    (folder / "pointer.gguf").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (folder / "empty.gguf").touch()
    write_gguf(folder / "bert.gguf", architecture="bert")
    write_gguf(folder / "other.gguf", architecture="rwkv9")
    (home / "hub" / "models--some--broken").mkdir(parents=True)
    in_hub(home / "hub", "some/revision", ["m.gguf"], revision="float16")
    (blob,) = in_ollama(home / ".ollama" / "models", "registry.ollama.ai/library/x/y", [("model", whole)])
    blob.unlink()
    problems = {name: model.problem for name, model in listed().items() if model.problem}
    expected = {
        "lmstudio:P/R/split-00001-of-00002.gguf": "is missing, one of the 2 parts",
        "lmstudio:P/R/cut.gguf": "is cut off",
        "lmstudio:P/R/pointer.gguf": "is a Git LFS pointer",
        "lmstudio:P/R/empty.gguf": "is empty",
        "lmstudio:P/R/bert.gguf": "is an embedding model",
        "lmstudio:P/R/other.gguf": "its architecture is rwkv9",
        "some/revision": "Only its revision float16 is here.",
        "ollama:x:y": "is missing",
    }
    assert problems.keys() == expected.keys()
    for name, words in expected.items():
        assert words in problems[name]


def test_a_model_that_does_not_fit(no_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_gguf(tmp_path / "m.gguf", tensors={"token_embd.weight": (6, 32)})
    weights = 6 * 32 * 4  # a small model is kept in fp32
    for free, fits in ((2 * weights, True), (weights, False), (None, True)):
        monkeypatch.setattr(memory, "available_bytes", lambda _, free=free: free)
        assert listed(replace(CPU, model=str(file)))[str(file)].fits is fits


def test_many_large_vocabularies_are_listed_quickly(no_models: Path) -> None:
    tokens = [f"token{number}" for number in range(50_000)]
    for number in range(4):
        write_gguf(no_models / ".cache" / "llama.cpp" / f"{number}.gguf", tokens=tokens)
    begun = time.process_time()
    assert len(listed()) == 5
    assert time.process_time() - begun < 3


# What files store


def gguf_folder(tmp_path: Path, **content: object) -> sources.ModelFolder:
    return sources.find(str(write_gguf(tmp_path / "m.gguf", **content)))  # type: ignore[arg-type]


def test_sizes_come_from_the_header(tmp_path: Path) -> None:
    folder = gguf_folder(tmp_path, tensors=SIZES)
    assert facts.stored_size(folder) == memory.Size(38 * 32, 38 * 34)


def test_weights_that_are_not_finite_are_found(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "m.gguf", tensors={"a.weight": (4, 64), "b.weight": (4, 64), "c.weight": (4, 64)})
    folder = sources.find(str(file))
    assert soundness.not_finite(folder) == []
    assert folder.gguf is not None
    content = bytearray(file.read_bytes())
    at = folder.gguf.tensors["b.weight"].offset + 3 * 34  # the scale of a block is its first two bytes
    content[at : at + 2] = b"\x00\x7c"  # infinity
    file.write_bytes(content)
    assert soundness.not_finite(sources.find(str(file))) == ["b.weight"]


@pytest.mark.parametrize(("file_type", "name"), [(15, "Q4_K_M"), (7, "Q8_0"), (None, "Q8_0"), (1024, "Q8_0")])
def test_the_type_of_a_file(tmp_path: Path, file_type: int | None, name: str) -> None:
    folder = gguf_folder(tmp_path, file_type=file_type)
    assert stored.type_of(folder, stored.tensors_of(folder)) == name


@pytest.mark.parametrize(
    ("tensors", "share"),
    [
        ({"token_embd.weight": (6, 32), "blk.0.attn_output.weight": (6, 32)}, 1.0),
        ({"token_embd.weight": (6, 32), "blk.0.a.weight": (6, 32), "output.weight": (6, 32)}, 2 / 3),
        ({"token_embd.weight": (4, 32), "blk.0.ffn_up_exps.weight": (8, 16, 32)}, (4 + 8 * 16 / 4) / (4 + 8 * 16)),
    ],
)
def test_what_a_token_reads(tmp_path: Path, tensors: dict[str, tuple[int, ...]], share: float) -> None:
    folder = gguf_folder(tmp_path, tensors=tensors, numbers={"llama.expert_count": 8, "llama.expert_used_count": 2})
    assert stored.share_read(folder, stored.tensors_of(folder)) == pytest.approx(share)


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"model": 1}', '{"model": {"vocab": 3}, "added_tokens": [1, {}]}']
)
def test_token_names_of_odd_tokenizers(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    assert not stored.token_names(sources.ModelFolder("m", tmp_path, {}))


def test_token_names(tmp_path: Path) -> None:
    folder = sources.ModelFolder("m", tmp_path, {})
    for vocabulary in ('{"a": 0, "b": 1}', '[["a", 0.5], ["b", -1]]'):
        content = f'{{"model": {{"vocab": {vocabulary}}}, "added_tokens": [{{"content": "<c>", "id": 2}}]}}'
        (tmp_path / "tokenizer.json").write_text(content)
        assert stored.token_names(folder) == {"a", "b", "<c>"}


def test_the_bandwidth_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.monotonic()
    found = measured(torch.device("cpu"))
    assert time.monotonic() - begun < 5
    assert found is not None
    assert 10**8 < found < 10**13
    monkeypatch.setattr(memory, "available_bytes", lambda _: 1000)
    assert measured(torch.device("cpu")) is None
