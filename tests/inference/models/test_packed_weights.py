"""Packed weights on the disk: the next start computes the same without packing, whatever is in the folder."""

from __future__ import annotations

import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import save_tiny_model, until
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lacuna_inference.api import ModelOptions
from lacuna_inference.engine.assemble import load_model
from lacuna_inference.models import native, packed_weights
from lacuna_inference.models.gguf.rows import Rows
from lacuna_inference.models.packed_weights import SUFFIX, PackedWeights

KEY = "0" * 40
needs_native = pytest.mark.skipif(native.load() is None, reason="this processor has no AVX2")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def options(model: Path, tmp_path: Path) -> ModelOptions:
    packed = tmp_path / "weights"
    return ModelOptions(
        str(model), "cpu", context=64, quantization="int8", packed_folder=packed, packed_disk_bytes=2**24
    )


def logits(options: ModelOptions) -> Tensor:
    forward = load_model(options, lambda *_: None).forward
    assert forward is not None
    return forward.step([5, 6, 7], forward.new_kv_cache(), 3)


def kept(folder: Path) -> list[Path]:
    return list(folder.glob(f"*{SUFFIX}"))


def no_rows(*_: object) -> Tensor:
    raise AssertionError("weights were read again")


@needs_native
def test_the_next_start_maps_what_the_first_packed(options: ModelOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    assert options.packed_folder is not None
    first = logits(options)
    until(lambda: kept(options.packed_folder))
    (file,) = kept(options.packed_folder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    monkeypatch.setattr(Rows, "__getitem__", no_rows)
    assert torch.equal(logits(options), first)


@needs_native
@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(file.read_bytes()[:-64]), lambda file: file.unlink()])
def test_a_file_that_is_not_whole_is_written_anew(options: ModelOptions, damage: object) -> None:
    assert options.packed_folder is not None
    assert callable(damage)
    first = logits(options)
    until(lambda: kept(options.packed_folder))
    whole = kept(options.packed_folder)[0].read_bytes()
    damage(kept(options.packed_folder)[0])
    assert torch.equal(logits(options), first)
    until(lambda: kept(options.packed_folder) and kept(options.packed_folder)[0].read_bytes() == whole)


@needs_native
def test_nothing_is_kept_without_a_budget(options: ModelOptions) -> None:
    for without in (replace(options, packed_disk_bytes=0), replace(options, packed_folder=None)):
        logits(without)
    assert options.packed_folder is not None
    assert not options.packed_folder.exists()


def written(folder: Path, key: str = KEY, budget: int = 2**20) -> Path:
    """The file in which a region of 100 bytes of ones was kept."""
    packed = PackedWeights(folder, budget, key)
    region = packed.region(100)
    assert not region.filled
    region.memory.fill_(1)
    packed.keep()
    until(lambda: (folder / f"{key}{SUFFIX}").exists())
    return folder / f"{key}{SUFFIX}"


def writers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "lacuna-packed"]


def test_regions_come_back_in_their_order(tmp_path: Path) -> None:
    written(tmp_path)
    packed = PackedWeights(tmp_path, 2**20, KEY)
    first, second = packed.region(100), packed.region(100)
    assert first.filled
    assert first.memory.tolist() == [1] * 100
    assert not second.filled  # the file ends before it


def test_what_is_written_to_mapped_memory_changes_no_file(tmp_path: Path) -> None:
    file = written(tmp_path)
    before = file.read_bytes()
    PackedWeights(tmp_path, 2**20, KEY).region(100).memory.fill_(2)
    assert file.read_bytes() == before


def test_the_least_recently_used_file_makes_room(tmp_path: Path) -> None:
    old = written(tmp_path, "1" * 40, budget=200)
    written(tmp_path, "2" * 40, budget=200)
    assert not old.exists()


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    packed = PackedWeights(tmp_path / "file" / "weights", 2**20, KEY)
    packed.region(100)
    packed.keep()
    until(lambda: "not saved" in caplog.text)


def test_a_full_disk_gets_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_weights, "_KEPT_FREE", 2**62)
    PackedWeights(tmp_path, 2**20, KEY)._write([torch.ones(64, dtype=torch.uint8)])
    assert not kept(tmp_path)


@given(at=st.integers(0, packed_weights._PREFIX.size - 1), change=st.integers(1, 255))
def test_a_file_with_another_beginning_is_ignored(
    tmp_path_factory: pytest.TempPathFactory, at: int, change: int
) -> None:
    folder = tmp_path_factory.mktemp("packed")
    content = bytearray(b"".join(packed_weights._content(KEY.encode(), 64, [torch.ones(64, dtype=torch.uint8)])))
    (folder / f"{KEY}{SUFFIX}").write_bytes(content)
    assert PackedWeights(folder, 2**20, KEY).region(64).filled
    content[at] ^= change
    (folder / f"{KEY}{SUFFIX}").write_bytes(content)
    assert not PackedWeights(folder, 2**20, KEY).region(64).filled


def test_without_a_budget_files_are_used_but_none_is_added(tmp_path: Path) -> None:
    written(tmp_path)
    until(lambda: not writers())
    assert PackedWeights(tmp_path, 0, KEY).region(100).filled
    other = PackedWeights(tmp_path, 0, "1" * 40)
    other.region(100)
    other.keep()
    assert not writers()
    assert len(kept(tmp_path)) == 1
