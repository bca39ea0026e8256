"""What is in the wheel and what is not."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Names and sizes of the files in a freshly built wheel."""
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = target.glob("lacuna_lsp-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.file_size for entry in archive.infolist()}


def test_packages_model_and_typing_marks_are_inside(names: dict[str, int]) -> None:
    for package in ("lacuna_server", "lacuna_inference"):
        assert f"{package}/__init__.py" in names
        assert f"{package}/py.typed" in names
    for file in ("config.json", "tokenizer.json", "model.safetensors"):
        assert f"lacuna_inference/bundled/{file}" in names
    assert 5_000_000 < names["lacuna_inference/bundled/model.safetensors"] < 64 * 2**20


def test_nothing_else_is_inside(names: dict[str, int]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"lacuna_server", "lacuna_inference"}
    assert not [name for name in names if "test" in name or "training/" in name or "__pycache__" in name]


def test_the_licence_and_the_command_are_declared(names: dict[str, int]) -> None:
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    assert [name for name in names if name.endswith("entry_points.txt")]
