"""A contestant's process: started with its standard streams as pipes, paused while another is asked, and measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from lacuna_inference.errors import LacunaError

_NO_NETWORK = {"HF_HUB_OFFLINE": "1", "LACUNA_STATISTICS": "false"}
_READY = "READY "
_EXIT_TIMEOUT_S = 10.0


def say_ready(**facts: Any) -> str:
    """The line with which a program says that it is ready, and what its `facts` are."""
    return _READY + json.dumps(facts)


class Child:
    """A program of the lab. It says that it is ready with a line on stdout, and ends with its stdin."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            text=True, encoding="utf-8", env={**os.environ, **_NO_NETWORK},
        )  # fmt: skip
        self._watched = psutil.Process(self._process.pid)

    def wait_until_ready(self) -> dict[str, Any]:
        """The facts that the program tells. Raises LacunaError if it ends first."""
        while True:
            line = self._read()
            if line.startswith(_READY):
                facts: dict[str, Any] = json.loads(line.removeprefix(_READY))
                return facts

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Sends a line of JSON and returns the answer. Raises LacunaError if the program ends."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._read())
        return answer

    def pause(self) -> None:
        """Stops its threads, some of which wait busily, so that they do not disturb another contestant."""
        with suppress(psutil.NoSuchProcess):
            self._watched.suspend()

    def resume(self) -> None:
        with suppress(psutil.NoSuchProcess):
            self._watched.resume()

    def peak_bytes(self) -> int | None:
        """The most memory that was resident at once; None where the system does not tell."""
        with suppress(OSError, StopIteration):
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
            line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
            return int(line.split()[1]) * 1024
        with suppress(psutil.NoSuchProcess):
            peak = getattr(self._watched.memory_info(), "peak_wset", None)  # on Windows
            return None if peak is None else int(peak)
        return None

    def close(self) -> None:
        """Ends the program."""
        self.resume()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_TIMEOUT_S)
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _read(self) -> str:
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return line
        raise LacunaError(f"A process that is measured ended: {self._last_error()}.", "Run lacuna doctor.")

    def _last_error(self) -> str:
        self._errors.seek(0)
        lines: Sequence[str] = self._errors.read().strip().splitlines() or ["it said nothing"]
        return lines[-1].rstrip(".")
