"""Which files of a folder are a model's weights, and what is reported of those that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers import save_tiny_model
from safetensors.torch import load_file, save_file

from lacuna_inference.api import ModelOptions
from lacuna_inference.engine import assemble
from lacuna_inference.errors import ModelUnusable
from lacuna_inference.forward import Forward
from lacuna_inference.models import loader, transformers_forward
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.describe import describe
from lacuna_inference.models.loading import sources
from lacuna_inference.models.loading.files import PICKLED, read_json, weight_files
from lacuna_lab.evaluation.scoring import logprobs
from lacuna_server import doctor
from lacuna_server.settings import Settings

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 269060280\n"
INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model."""
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def sharded(folder: Path, indexed: bool = True) -> list[str]:
    """Splits the weights into two files; returns their names."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    weight_map = {tensor: names[position % 2] for position, tensor in enumerate(sorted(state))}
    for name in names:
        save_file({tensor: state[tensor] for tensor, at in weight_map.items() if at == name}, folder / name)
    if indexed:
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return names


def names_of(folder: Path) -> list[str]:
    return [file.name for file in weight_files(folder)]


def scores(folder: Path, forward: str = "own") -> torch.Tensor:
    options, cpu = ModelOptions(str(folder), device="cpu"), torch.device("cpu")
    found = loader.find(options)
    loaded: Forward = (
        registry.read(found, registry.ForwardSpec(torch.float32, cpu, 64, tuned=False))
        if forward == "own"
        else transformers_forward.read(found, torch.float32, cpu, options)
    )
    return logprobs(loaded, list(range(5, 25)))


def refusal(folder: Path) -> str:
    with pytest.raises(ModelUnusable) as caught:
        sources.find(str(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def stray(folder: Path, name: str) -> None:
    """A file with one of the model's tensors, all zeros."""
    save_file({"model.norm.weight": torch.zeros(64)}, folder / name)


@pytest.mark.parametrize("name", ["zz.safetensors", "consolidated.safetensors", "model-00003-of-00003.safetensors"])
@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("forward", ["own", "transformers"])
def test_a_stray_file_changes_nothing(folder: Path, tiny: Path, name: str, shards: int, forward: str) -> None:
    if shards > 1:
        sharded(folder)
    stray(folder, name)
    assert (scores(folder, forward) - scores(tiny)).abs().max() <= 1e-5


@pytest.mark.parametrize("forward", ["own", "transformers"])
def test_the_index_decides_over_a_single_file(folder: Path, tiny: Path, forward: str) -> None:
    names = sharded(folder)
    stray(folder, "model.safetensors")
    assert names_of(folder) == names
    assert (scores(folder, forward) - scores(tiny)).abs().max() <= 1e-5


def test_the_memory_check_counts_the_same_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "consolidated.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    asked: list[int] = []
    monkeypatch.setattr(registry, "_require_room", lambda count, *_: asked.append(count))
    scores(folder)
    assert asked == [sum(tensor.numel() for tensor in load_file(folder / "model.safetensors").values())]
    assert describe(ModelOptions(str(folder), device="cpu")).disk_bytes == (folder / "model.safetensors").stat().st_size


def test_a_complete_set_of_numbered_files_needs_no_index(folder: Path, tiny: Path) -> None:
    assert names_of(folder) != sharded(folder, indexed=False)
    assert (scores(folder) - scores(tiny)).abs().max() <= 1e-5
    with pytest.raises(ModelUnusable, match=INDEX):
        scores(folder, "transformers")


@pytest.mark.parametrize("forward", ["own", "transformers"])
def test_a_single_file_may_have_any_name(folder: Path, tiny: Path, forward: str) -> None:
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    stray(folder, "adapter_model.safetensors")
    assert names_of(folder) == ["weights.safetensors"]
    assert (scores(folder, forward) - scores(tiny)).abs().max() <= 1e-5


def test_an_incomplete_set_names_the_missing_files(folder: Path) -> None:
    _, second = sharded(folder, indexed=False)
    (folder / second).unlink()
    assert f"lacks 1 of 2 weight files ({second})" in refusal(folder)


@pytest.mark.parametrize(
    "names",
    [
        ["a.safetensors", "b.safetensors"],
        ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model-00001-of-00003.safetensors"],
        ["model-00001-of-00001.safetensors", "consolidated.safetensors"],
    ],
)
def test_ambiguous_files_are_rejected(folder: Path, names: list[str]) -> None:
    (folder / "model.safetensors").unlink()
    for name in names:
        stray(folder, name)
    message = refusal(folder)
    assert f"{len(names)} files that may be its weights" in message
    assert INDEX in message


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ("{}", "has no weight_map"),
        ('{"weight_map": []}', "has no weight_map"),
        ('{"weight_map": {"a": 1}}', "has no weight_map"),
        ('{"weight_map": {"a": "../model.safetensors"}}', "not in its folder"),
        ("[1]", "holds no JSON object"),
        ("", "is empty"),
        ('{"weight_map": ', "cannot be read"),
        (POINTER.decode(), "is a Git LFS pointer"),
    ],
)
def test_a_wrong_index_is_named(folder: Path, index: str, problem: str) -> None:
    (folder / INDEX).write_text(index)
    assert f"{INDEX} {problem}" in refusal(folder).replace("names a file that is ", "")


@pytest.mark.parametrize(
    ("content", "problem"),
    [(POINTER, "is a Git LFS pointer"), (b"", "is empty"), (b"\x08\0\0\0\0\0\0\0{}", "is cut off or damaged")],
)
@pytest.mark.parametrize("shards", [1, 2])
def test_a_truncated_weight_file_is_named_by_every_forward(
    folder: Path, content: bytes, problem: str, shards: int
) -> None:
    name = sharded(folder)[1] if shards > 1 else "model.safetensors"
    (folder / name).write_bytes(content)
    message = refusal(folder)
    assert f"{folder / name} {problem}" in message
    with pytest.raises(ModelUnusable, match=problem):
        assemble.load_model(ModelOptions(str(folder), device="cpu"), lambda *_: None)
    (found,) = doctor._model(Settings(model=str(folder)))
    assert (found.verdict, f"{found.found} {found.remedy}") == (doctor.Status.BAD, message)


def test_a_truncated_file_is_found_before_its_tensors_are_read(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-1])
    assert "model.safetensors is cut off or damaged" in refusal(folder)


@pytest.mark.parametrize("forward", ["own", "transformers"])
@pytest.mark.parametrize("name", ["lm_head.weight", "model.layers.1.mlp.up_proj.weight"])
def test_no_forward_makes_up_a_missing_tensor(folder: Path, name: str, forward: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnusable, match=f"lack the tensor {name}"):
        scores(folder, forward)


def test_an_adapter_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "holds an adapter, not a model" in refusal(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_may_begin_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "config.json").write_text('{"é": 1}', encoding=encoding)
    assert read_json(tmp_path / "config.json") == {"é": 1}


@pytest.mark.parametrize("forward", ["own", "transformers"])
def test_a_model_whose_files_begin_with_a_byte_order_mark_is_loaded(folder: Path, tiny: Path, forward: str) -> None:
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text((folder / name).read_text(), encoding="utf-8-sig")
    assert (scores(folder, forward) - scores(tiny)).abs().max() <= 1e-5
    assert describe(ModelOptions(str(folder), device="cpu")).family == "starcoder"


def test_files_with_a_byte_order_mark_that_only_transformers_reads_are_named(folder: Path) -> None:
    (folder / "generation_config.json").write_text("{}", encoding="utf-8-sig")
    (folder / "config.json").write_text((folder / "config.json").read_text(), encoding="utf-8-sig")
    with pytest.raises(ModelUnusable, match=r"config.json, generation_config.json in .* begin with a byte order mark"):
        scores(folder, "transformers")


def test_an_index_with_a_byte_order_mark_is_read_or_named_for_transformers(folder: Path, tiny: Path) -> None:
    sharded(folder)
    (folder / INDEX).write_text((folder / INDEX).read_text(), encoding="utf-8-sig")
    assert (scores(folder) - scores(tiny)).abs().max() <= 1e-5
    with pytest.raises(ModelUnusable, match=f"{INDEX} in .* begin with a byte order mark"):
        scores(folder, "transformers")


def test_a_trainer_s_files_are_not_part_of_a_checkpoint(tmp_path: Path) -> None:
    left = ["optimizer.pt", "scheduler.pt", "rng_state.pth", "rng_state_0.pth", "training_args.bin", "scaler.pt"]
    for name in [*left, "model.pt"]:
        (tmp_path / name).touch()
    assert [file.name for file in weight_files(tmp_path, PICKLED)] == ["model.pt"]
