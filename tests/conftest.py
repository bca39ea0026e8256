"""Every test runs offline, with isolated settings, and away from the user's files."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from lacuna_inference.models.loading.sources import configure_libraries

sys.path.insert(0, str(Path(__file__).parent))
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="lacuna-state-")
"""Servers that tests start must not count in the user's statistics."""
DOWNLOADS = {"HF_HOME": "huggingface", "PLAYWRIGHT_BROWSERS_PATH": "ms-playwright", "PIP_CACHE_DIR": "pip"}
for _name, _folder in DOWNLOADS.items():
    os.environ.setdefault(_name, str(Path.home() / ".cache" / _folder))
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="lacuna-cache-")
"""Nor do they keep KV caches beside the user's; downloads stay where they are."""
configure_libraries()
settings.register_profile("any machine", deadline=None)  # a busy machine must not fail a test
settings.load_profile("any machine")


LONG = (
    "e2e", "editors", "server/http", "lab/precision/test_study.py", "lab/bench/test_accelerations_models.py",
    "inference/models/test_transformers_cache.py", "inference/models/parallel",
)  # fmt: skip
"""Tests that start processes or take long: `make test` runs one for each face, `make test-all` all of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    for item in items:
        path = item.path.relative_to(tests).as_posix()
        if path.startswith(LONG) and item.get_closest_marker("face") is None:
            item.add_marker("long")


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LACUNA_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which no program has models. On Linux, those of a service of Ollama's are found nevertheless."""
    for name in ("OLLAMA_MODELS", "LLAMA_CACHE", "XDG_CACHE_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))
    return home
