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

_SOURCE = Path("inference/lacuna_inference/models/native.c")
_TARGET = _SOURCE.with_name("native-linux-x86_64.so")
_OPTIONS = ["-O3", "-ffp-contract=off", "-ffreestanding", "-nostdlib", "-shared", "-fPIC", "-s"]


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        source, target = Path(self.root) / _SOURCE, Path(self.root) / _TARGET
        if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
            return
        problems = []
        for compiler in _compilers():
            try:
                subprocess.run([*compiler, *_OPTIONS, "-o", target, source], check=True, capture_output=True, text=True)
                return
            except (OSError, subprocess.CalledProcessError) as error:
                problems.append((getattr(error, "stderr", None) or str(error)).strip())
        self.app.display_warning(
            f"{_SOURCE.name} was not compiled; without it, 8-bit models are slower on processors with AVX-512 VNNI: "
            + ("; ".join(problems) or "neither the package ziglang nor a C compiler for Linux on x86-64 is here.")
        )


def _compilers() -> Iterator[list[str]]:
    """Zig's C compiler, which compiles for Linux anywhere, then the system's."""
    if find_spec("ziglang") is not None:
        yield [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-gnu.2.17"]
    if sys.platform == "linux" and platform.machine() == "x86_64":
        yield ["cc"]
