"""The distribution's name: `lacuna` on the package index belongs to another project and must never be resolved."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from lacuna_inference import DISTRIBUTION

ROOT = Path(__file__).parents[2]
_REQUIREMENT = re.compile(
    r"""\blacuna(\[\w+\]|\s*[=~><!]=)  # lacuna[ray], lacuna==0.1.0
    |\bpip3?\s+(install|download|wheel)\s([^\n]*['"\s])?lacuna['"]?(?=\s|$)
    |\blacuna-(\d|\*)[^\s]*\.whl""",
    re.VERBOSE,
)


def test_the_project_has_the_name_that_the_code_uses() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == DISTRIBUTION == "lacuna-lsp"


def test_the_pattern_finds_requirements_by_the_old_name() -> None:
    for text in ("pip install 'lacuna[ray]'", "lacuna==1", "pip install lacuna", "lacuna-0.1.0-py3-none-any.whl"):
        assert _REQUIREMENT.search(text), text
    for text in ("pip install 'lacuna-lsp[ray]'", "lacuna-lsp==1", "pip install lacuna-lsp", "lacuna-*.vsix"):
        assert not _REQUIREMENT.search(text), text


def test_nothing_asks_for_the_old_name() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path == Path(__file__) or path.suffix in (".png", ".safetensors", ".json") or not path.is_file():
            continue
        found = _REQUIREMENT.search(path.read_text(encoding="utf-8", errors="replace"))
        assert found is None, f"{name}: {found and found.group()}"
