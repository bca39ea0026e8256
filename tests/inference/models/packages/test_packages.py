"""A model is packed, its packages are put where pip finds them, and it is taken out of them bit for bit."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import save_tiny_model
from small_gguf import in_hub, write_gguf, write_split

from lacuna_inference.api import ModelOptions
from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_inference.models import catalogue, fetch, loader
from lacuna_inference.models.loading import places, sources
from lacuna_inference.models.on_disk import on_disk
from lacuna_inference.models.packages.manifest import parse
from lacuna_inference.models.packages.pack import files_of, name_of, pack
from lacuna_inference.models.packages.unpack import join, manifest_of, wheels_of

MAX = 100_000


@pytest.fixture
def index(no_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which pip looks for packages, and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "Tiny_Model.1")


def fetched(name: str) -> tuple[str, Path]:
    return fetch.fetch_from_index(name, lambda share, text: None)


def test_a_model_comes_out_of_its_packages_bit_for_bit(index: Path, model: Path) -> None:
    (model / "notes.md").write_text("not of the model")
    wheels = pack(sources.inspect("m", model), "Tiny_Model.1", MAX, index)
    assert len(wheels) > 3
    assert all(wheel.stat().st_size <= MAX for wheel in wheels)
    assert wheels[0].name == "lacuna_model_tiny_model_1-1.0-py3-none-any.whl"
    assert wheels[1].name == "lacuna_model_tiny_model_1_part2-1.0-py3-none-any.whl"
    name, folder = fetched("tiny-model-1")
    assert name == "lacuna:Tiny_Model.1"
    assert folder == places.own() / "Tiny_Model.1"
    assert sorted(file.name for file in folder.iterdir()) == [
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
    ]  # fmt: skip
    for file in folder.iterdir():
        assert file.read_bytes() == (model / file.name).read_bytes()
    assert [entry.name for entry in places.own().rglob("*.whl")] == []
    assert name in [row.name for row in on_disk(ModelOptions(device="cpu")) if not row.problem]
    assert loader.find(ModelOptions(model=name, device="cpu")).path == folder


def test_a_split_gguf_model_keeps_its_parts(no_models: Path, tmp_path: Path) -> None:
    parts = write_split(tmp_path / "source", "tiny-Q4_K_M", 2)
    folder = sources.find(str(parts[0]))
    assert name_of(folder) == "tiny-Q4_K_M"
    target = joined(pack(folder, name_of(folder), 10_000, tmp_path / "packages"), places.own() / "tiny-Q4_K_M")
    assert [file.read_bytes() for file in sorted(target.iterdir())] == [part.read_bytes() for part in parts]
    assert len(sources.find("lacuna:tiny-Q4_K_M").weight_files) == 2


def test_a_name_of_the_catalogue_finds_the_model_from_packages(index: Path, tmp_path: Path) -> None:
    pack(sources.find(str(write_gguf(tmp_path / "tiny.gguf"))), "qwen2.5-coder-0.5b", MAX, index)
    _, target = fetched("lacuna-model-qwen2-5-coder-0.5b")
    assert sources.find("Qwen2.5-Coder-0.5B").path == target / "tiny.gguf"


def test_a_name_of_the_catalogue_finds_the_model_in_the_hub_s_cache(no_models: Path) -> None:
    entry = catalogue.find("qwen2.5-coder-0.5b")
    assert entry is not None
    with pytest.raises(LacunaError, match="is not on this disk") as raised:
        sources.find(entry.name)
    assert raised.value.remedy == "Run: lacuna models fetch qwen2.5-coder-0.5b"
    snapshot = in_hub(no_models / "hub", entry.hub_id, [entry.file])
    assert sources.find(entry.name).path == snapshot / entry.file


def test_a_file_of_the_catalogue_must_have_its_sum(index: Path, tmp_path: Path) -> None:
    entry = catalogue.find("qwen2.5-coder-1.5b")
    assert entry is not None
    pack(sources.find(str(write_gguf(tmp_path / entry.file))), entry.name, MAX, index)
    with pytest.raises(LacunaError, match="another file than qwen"):
        fetched(entry.name)
    assert not (places.own() / entry.name).exists()


def joined(wheels: list[Path], target: Path) -> Path:
    """The folder of the model in these packages, without pip."""
    model, count = manifest_of(wheels[0]).name, manifest_of(wheels[0]).count
    join(wheels_of(wheels[0].parent, model, range(1, count + 1)), target)
    return target


def flip(wheels: list[Path]) -> None:
    content = bytearray(wheels[1].read_bytes())
    content[len(content) // 2] ^= 1
    wheels[1].write_bytes(content)


def lose(wheels: list[Path]) -> None:
    wheels[2].unlink()


def other_count(wheels: list[Path]) -> None:
    rewrite(wheels[1], "count", 99)


def other_sum(wheels: list[Path]) -> None:
    for wheel in wheels:
        rewrite(wheel, "sha256", "0" * 64)


def outside(wheels: list[Path]) -> None:
    rewrite(wheels[0], "files", [{"name": "../../evil", "bytes": 5}])


def other_format(wheels: list[Path]) -> None:
    rewrite(wheels[0], "format", 2)


def rewrite(wheel: Path, key: str, value: object) -> None:
    """Replaces a value of the manifest."""
    with zipfile.ZipFile(wheel) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in entries.items():
            changed = json.dumps(json.loads(content) | {key: value}) if name.endswith("manifest.json") else content
            archive.writestr(name, changed)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip, "The package lacuna-model-tiny-part2 is damaged: "),
        (lose, "Part 3 of tiny is missing: the package lacuna-model-tiny-part3."),
        (other_count, "lacuna-model-tiny-part2 is not part 2 of "),
        (other_sum, "The parts of tiny do not make the whole: its SHA-256 differs."),
        (outside, "The manifest of lacuna-model-tiny is damaged."),
        (other_format, "lacuna-model-tiny has a format that this Lacuna does not know."),
    ],
)
def test_what_is_wrong_with_packages_is_one_sentence(
    model: Path, tmp_path: Path, damage: Callable[[list[Path]], None], said: str
) -> None:
    wheels = pack(sources.inspect("m", model), "tiny", MAX, tmp_path / "packages")
    damage(wheels)
    with pytest.raises(LacunaError) as raised:
        joined(wheels, tmp_path / "target")
    assert raised.value.message.startswith(said)
    assert not list(tmp_path.glob("target*"))


def test_damaged_packages_are_not_kept(index: Path, tmp_path: Path) -> None:
    wheels = pack(sources.find(str(write_gguf(tmp_path / "m.gguf"))), "tiny", MAX, index)
    rewrite(wheels[0], "sha256", "0" * 64)
    with pytest.raises(LacunaError, match="do not make the whole"):
        fetched("tiny")
    assert not list(places.own().rglob("*.whl"))


def test_a_call_that_was_interrupted_goes_on(index: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = pack(sources.inspect("m", model), "tiny", MAX, index)
    kept = wheels[-1].read_bytes()
    wheels[-1].unlink()
    with pytest.raises(LacunaError, match=f"part{len(wheels)}"):
        fetched("tiny")
    assert len(list(places.own().rglob("*.whl"))) == len(wheels) - 1
    wheels[-1].write_bytes(kept)
    assert fetched("tiny")[1].is_dir()


def test_a_package_that_says_it_is_another_model(index: Path, tmp_path: Path) -> None:
    (wheel,) = pack(sources.find(str(write_gguf(tmp_path / "m.gguf"))), "tiny", MAX, index)
    rewrite(wheel, "name", "qwen2.5-coder-7b")
    with pytest.raises(LacunaError, match="lacuna-model-tiny says that it is"):
        fetched("tiny")


def test_names_and_limits_that_cannot_be(index: Path, model: Path) -> None:
    folder = sources.inspect("m", model)
    with pytest.raises(BadRequest, match="cannot be part of a package's name"):
        pack(folder, "../x", MAX, index)
    with pytest.raises(BadRequest, match="no room"):
        pack(folder, "x", 1000, index)
    with pytest.raises(BadRequest, match="no name of a model"):
        fetched("--index-url=x")
    with pytest.raises(LacunaError, match="no package lacuna-model-nothing"):
        fetched("nothing")
    assert not [folder for folder in places.own().rglob("*") if "nothing" in folder.name]


def test_the_manifest_says_what_is_inside(model: Path, tmp_path: Path) -> None:
    folder = sources.inspect("m", model)
    wheels = pack(folder, "tiny", MAX, tmp_path, version="2.1")
    manifest = manifest_of(wheels[2])
    assert (manifest.name, manifest.part, manifest.count) == ("tiny", 3, len(wheels))
    assert manifest.bytes == sum(file.stat().st_size for file in files_of(folder))
    assert parse(manifest.text(), "x") == manifest
    with zipfile.ZipFile(wheels[0]) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".py")]
