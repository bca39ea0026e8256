"""Starts the servers that are compared, each as a separate process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from lacuna_inference.errors import LacunaError

_START_TIMEOUT_S = 180.0
_NO_NETWORK = {"HF_HUB_OFFLINE": "1", "LACUNA_STATISTICS": "false"}


def own(model: str, port: int, batch: int) -> list[str]:
    """`lacuna serve`."""
    command = [sys.executable, "-P", "-m", "lacuna_server", "serve", "--model", model, "--port", str(port)]
    return [*command, "--queue", "1000", "--batch", str(batch)]


def llama_cpp(file: Path, port: int, context: int) -> list[str]:
    """llama-cpp-python's server."""
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(file), "--port", str(port)]
    return [*command, "--n_ctx", str(context), "--n_threads", str(os.cpu_count() or 1)]


def transformers(folder: Path, port: int, device: str) -> list[str]:
    """transformers' server with continuous batching."""
    program = str(Path(sys.executable).with_name("transformers"))
    return [program, "serve", str(folder), "--continuous-batching", "--device", device, "--port", str(port),
            "--host", "127.0.0.1"]  # fmt: skip


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class PeerServer:
    """A running server. It is paused while another is measured: some keep computing abandoned requests."""

    url: str
    process: subprocess.Popen[bytes]

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def running(command: Sequence[str], port: int, ready: str) -> Iterator[PeerServer]:
    """Starts a server and yields it once `ready` answers. Raises LacunaError if it never does."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **_NO_NETWORK}
    )
    url = f"http://127.0.0.1:{port}"
    try:
        limit = time.monotonic() + _START_TIMEOUT_S
        while not _answers(f"{url}{ready}"):
            if process.poll() is not None or time.monotonic() > limit:
                raise LacunaError(
                    f"{command[0]} {' '.join(command[1:4])} ... did not start.", "Start it by hand to see why."
                )
            time.sleep(0.2)
        yield PeerServer(url, process)
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
