"""Runs a generated program in a separate process with limits on time, memory, files and the network."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lacuna_inference.errors import BadRequest

_SANDBOX = Path(__file__).with_name("sandbox.py")
WARNING = (
    "Programs that the model writes now run on this machine, each in a separate process, with limits on time, memory"
    " and files, and without a network. This guards against accidents and is not a security boundary; if in doubt, use"
    " a virtual machine."
)


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """CPU seconds and MiB of memory that a program may use."""

    seconds: float = 10.0
    memory_mb: int = 512


def check_platform() -> None:
    """Raises BadRequest on platforms where the limits cannot be set."""
    if sys.platform == "win32":
        raise BadRequest("--execute needs Linux or macOS: the limits cannot be set here.", "Omit --execute.")


def passes(program: str, limits: SandboxLimits = SandboxLimits()) -> bool:
    """Whether `program` runs to its end without an error. An early exit does not count, even with exit code 0."""
    check_platform()
    end = secrets.token_hex(16)
    command = [sys.executable, "-I", "-S", str(_SANDBOX), str(limits.seconds), str(limits.memory_mb)]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:  # a file: its size is limited
        process = subprocess.Popen(
            command, cwd=folder, env={}, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            process.communicate(f"{end}\n{program}".encode(), timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            return False
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return process.returncode == 0 and output.read().endswith(end.encode())
