"""Compiles Lacuna's machine code before it is packaged or installed.

The same file goes into every wheel, whatever machine it is built on: it is only loaded where it runs, and Lacuna works
without it, more slowly.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FOLDER = Path("inference/lacuna_inference/models")
_SOURCES = (_FOLDER / "native_avx512.c", _FOLDER / "native_avx2.c")
_HEADER = _FOLDER / "native.h"
_TARGET = _FOLDER / "native-linux-x86_64.so"
_OPTIONS = ["-O3", "-ffp-contract=off", "-ffreestanding", "-nostdlib", "-shared", "-fPIC", "-s"]


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        sources, target = [root / source for source in _SOURCES], root / _TARGET
        changed = max(file.stat().st_mtime for file in (*sources, root / _HEADER))
        if target.exists() and target.stat().st_mtime >= changed:
            return
        problems = []
        for compiler in _compilers():
            try:
                command = [*compiler, *_OPTIONS, "-o", target, *sources]
                subprocess.run(command, check=True, capture_output=True, text=True)
                return
            except (OSError, subprocess.CalledProcessError) as error:
                problems.append((getattr(error, "stderr", None) or str(error)).strip())
        self.app.display_warning(
            "Lacuna's machine code was not compiled; without it, 8-bit models are slower on processors with AVX2: "
            + ("; ".join(problems) or "neither the package ziglang nor a C compiler for Linux on x86-64 is here.")
        )


def _compilers() -> Iterator[list[str]]:
    """Zig's C compiler, which compiles for Linux anywhere, then the system's."""
    if find_spec("ziglang") is not None:
        yield [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-gnu.2.17"]
    if sys.platform == "linux" and platform.machine() == "x86_64":
        yield ["cc"]
