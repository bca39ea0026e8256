"""Converting pickled checkpoints: which files, all or none of them, and nothing replaced without consent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from lacuna_inference.errors import BadRequest, LacunaError, ModelUnusable
from lacuna_inference.models import convert
from lacuna_server.cli import app


class Evil:
    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return (Path("ran").touch, ())


def checkpoint(folder: Path, name: str = "pytorch_model.bin", **tensors: torch.Tensor) -> Path:
    torch.save(tensors or {"a": torch.arange(6.0).view(2, 3)}, folder / name)
    return folder


def shards(folder: Path) -> Path:
    for number in (1, 2):
        checkpoint(
            folder, f"pytorch_model-0000{number}-of-00002.bin", **{f"t{number}": torch.full((2,), float(number))}
        )
    return folder


def new_files(folder: Path, before: set[str]) -> set[str]:
    return {file.name for file in folder.iterdir()} - before


def test_a_trainer_s_files_are_not_shards(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "scaler.pt"):
        torch.save({"state": torch.zeros(3)}, tmp_path / name)
    (file,) = convert.convert(tmp_path)
    assert file.name == "model.safetensors"
    assert list(load_file(file)) == ["a"]


def test_the_index_decides_which_shards_there_are(tmp_path: Path) -> None:
    shards(tmp_path)
    checkpoint(tmp_path, "pytorch_model-00003-of-00003.bin", stray=torch.zeros(2))
    names = {f"t{number}": f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": names}))
    written = convert.convert(tmp_path)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {"t1": written[0].name, "t2": written[1].name}
    assert index["metadata"]["total_size"] == 16


@pytest.mark.parametrize("before", ["model.safetensors", "model.safetensors.index.json"])
def test_nothing_is_replaced_without_consent(tmp_path: Path, before: str) -> None:
    checkpoint(tmp_path)
    (tmp_path / before).write_text("{}")
    result = CliRunner().invoke(app, ["models", "convert", str(tmp_path)])
    assert isinstance(result.exception, BadRequest)
    assert f"{before}). Add --force" in str(result.exception)
    assert {file.name for file in tmp_path.iterdir()} == {"pytorch_model.bin", before}
    assert (tmp_path / before).read_text() == "{}"
    assert CliRunner().invoke(app, ["models", "convert", "--force", str(tmp_path)]).exception is None
    assert {file.name for file in tmp_path.iterdir()} == {"pytorch_model.bin", "model.safetensors"}
    assert list(load_file(tmp_path / "model.safetensors")) == ["a"]


def broken(folder: Path) -> None:
    (folder / "pytorch_model-00002-of-00002.bin").write_bytes(b"PK\x03\x04 cut off")


def dangerous(folder: Path) -> None:
    torch.save({"weights": Evil()}, folder / "pytorch_model-00002-of-00002.bin")


def empty(folder: Path) -> None:
    (folder / "pytorch_model-00002-of-00002.bin").write_bytes(b"")


def pointer(folder: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 1\n"
    (folder / "pytorch_model-00002-of-00002.bin").write_text(text)


def no_tensors(folder: Path) -> None:
    torch.save([1, 2], folder / "pytorch_model-00002-of-00002.bin")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (broken, "is cut off or damaged"),
        (dangerous, "holds more than plain tensors (getattr), so reading it could run code"),
        (empty, "is empty"),
        (pointer, "is a Git LFS pointer"),
        (no_tensors, "holds no table of tensors"),
    ],
)
def test_a_shard_that_cannot_be_read_leaves_nothing_behind(
    tmp_path: Path, spoil: Callable[[Path], None], problem: str
) -> None:
    spoil(shards(tmp_path))
    before = {file.name for file in tmp_path.iterdir()}
    with pytest.raises(ModelUnusable) as caught:
        convert.convert(tmp_path)
    text = str(caught.value)
    assert f"pytorch_model-00002-of-00002.bin {problem}" in text
    assert "\n" not in text
    assert "weights_only" not in text
    assert not new_files(tmp_path, before)


def test_files_appear_only_when_all_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards(tmp_path)
    seen: list[list[str]] = []
    convert.convert(tmp_path, progress=lambda *_: seen.append([file.name for file in tmp_path.glob("*.safetensors")]))
    assert seen == [[], []]


def test_an_interrupted_conversion_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupted(share: float, _: str) -> None:
        if share:
            raise KeyboardInterrupt

    before = {file.name for file in shards(tmp_path).iterdir()}
    with pytest.raises(KeyboardInterrupt):
        convert.convert(tmp_path, progress=interrupted)
    assert not new_files(tmp_path, before)


def test_a_full_disk_is_reported_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    before = {file.name for file in checkpoint(tmp_path).iterdir()}
    monkeypatch.setattr(convert, "save_file", full)
    with pytest.raises(LacunaError, match="No space left on device"):
        convert.convert(tmp_path)
    assert not new_files(tmp_path, before)


def test_several_checkpoints_are_not_mistaken_for_shards(tmp_path: Path) -> None:
    checkpoint(tmp_path, "first.pt")
    checkpoint(tmp_path, "second.pt")
    with pytest.raises(ModelUnusable, match=r"first.pt, second.pt"):
        convert.convert(tmp_path)
