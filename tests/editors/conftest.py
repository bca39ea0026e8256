"""A home for each editor, and a `lacuna` in it that follows a script."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_report_header() -> str:
    from installed import versions

    return f"editors: {versions()}"


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """An environment with a home of its own, whose `lacuna` is the scripted server."""
    from installed import scripted

    return scripted(tmp_path / "home")


@pytest.fixture(scope="module")
def lasting_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for an editor that all tests of a module share."""
    return tmp_path_factory.mktemp("home")
