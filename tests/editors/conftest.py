"""A home for each editor, with a scripted `lacuna`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Playwright

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "server/http")]


def pytest_report_header() -> str:
    from installed import versions

    return f"editors: {versions()}"


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """An environment with a home of its own, whose `lacuna` is the scripted server."""
    from installed import scripted

    return scripted(tmp_path / "home")


@pytest.fixture(scope="module")
def driver() -> Iterator[Playwright]:
    """Drives browsers. One at a time, and closed before others need the thread's event loop."""
    with pytest.importorskip("playwright.sync_api").sync_playwright() as found:
        yield found


@pytest.fixture(scope="module")
def lasting_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for an editor that all tests of a module share."""
    return tmp_path_factory.mktemp("home")
