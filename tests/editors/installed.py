"""Where the editors are, and which versions."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs/editors"
PATH = f"{ROOT}/.editors/bin:{os.environ['PATH']}"
"""`make editors` puts the editors there."""
NAMES = ("nvim", "emacs", "hx")


def editor(name: str) -> str:
    """The program called `name`; the test is skipped without it."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed: make editors")
    return found


def versions() -> str:
    """The editors that are here, with their versions."""
    found = [path for name in NAMES if (path := shutil.which(name, path=PATH))]
    shown = [subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout for path in found]
    return ", ".join(text.partition("\n")[0] for text in shown) or "none"
