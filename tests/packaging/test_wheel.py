"""What the wheel contains and what it does not."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from lacuna_inference.errors import LacunaError
from lacuna_server.bundle import wheel

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A freshly built wheel."""
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(target.glob("lacuna_lsp-*.whl"))


@pytest.fixture(scope="module")
def names(built: Path) -> dict[str, int]:
    """Names and sizes of the files in it."""
    with zipfile.ZipFile(built) as archive:
        return {entry.filename: entry.file_size for entry in archive.infolist()}


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> metadata.Distribution:
    """The wheel as installed by pip."""
    prefix = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--ignore-installed"]
    subprocess.run([*pip, "--prefix", str(prefix), str(built)], check=True, capture_output=True)
    (information,) = prefix.rglob("*.dist-info")
    return metadata.Distribution.at(information)


def test_a_wheel_rebuilt_from_the_installed_files_equals_the_installed_one(
    built: Path, installed: metadata.Distribution, tmp_path: Path
) -> None:
    again = wheel.of_installation(tmp_path, installed)
    assert (again.name, wheel.is_ours(again)) == (built.name, True)
    with zipfile.ZipFile(built) as one, zipfile.ZipFile(again) as two:
        record = next(name for name in one.namelist() if name.endswith("/RECORD"))
        assert sorted(one.namelist()) == sorted(two.namelist())
        for name in set(one.namelist()) - {record}:
            assert one.read(name) == two.read(name), name
        assert sorted(one.read(record).splitlines()) == sorted(two.read(record).splitlines())


def test_no_wheel_is_rebuilt_from_changed_files(installed: metadata.Distribution, tmp_path: Path) -> None:
    changed = Path(str(installed.locate_file("lacuna_server/py.typed")))
    changed.write_text("changed")
    try:
        with pytest.raises(LacunaError, match=r"py.typed has changed since it was installed. .*--wheel"):
            wheel.of_installation(tmp_path, installed)
    finally:
        changed.write_text("")
    assert list(tmp_path.iterdir()) == []


def test_no_wheel_is_rebuilt_from_an_editable_installation(tmp_path: Path) -> None:
    information = tmp_path / "lacuna_lsp-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: lacuna-lsp\nVersion: 1\n")
    (information / "RECORD").write_text("_editable_impl_lacuna_lsp.pth,,\nlacuna_lsp-1.dist-info/METADATA,,\n")
    with pytest.raises(LacunaError, match="not installed from a wheel"):
        wheel.of_installation(tmp_path, metadata.Distribution.at(information))


def test_packages_model_and_typing_marks_are_inside(names: dict[str, int]) -> None:
    for package in ("lacuna_server", "lacuna_inference", "lacuna_lab"):
        assert f"{package}/__init__.py" in names
        assert f"{package}/py.typed" in names
    for language in ("python", "ecmascript", "c_family"):
        assert f"lacuna_server/workspace/queries/{language}.scm" in names
    for file in ("config.json", "tokenizer.json", "model.safetensors"):
        assert f"lacuna_inference/bundled/{file}" in names
    assert 5_000_000 < names["lacuna_inference/bundled/model.safetensors"] < 64 * 2**20


def test_nothing_else_is_inside(names: dict[str, int]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "lacuna_server",
        "lacuna_inference",
        "lacuna_lab",
    }
    assert not [name for name in names if "test" in name or "training/" in name or "__pycache__" in name]


def test_the_licence_and_the_command_are_declared(names: dict[str, int]) -> None:
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    assert [name for name in names if name.endswith("entry_points.txt")]
