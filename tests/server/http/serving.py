"""A server with a scripted model in this process, and `lacuna serve` as a separate process."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from helpers import loaded, scripted_decoder

from lacuna_inference.api import ModelOptions
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.engine.engine import ModelEngine
from lacuna_server.http import app, listening

PATIENCE_S = 60.0
_TREE = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
"""Where the code under test is, when it is not what is installed."""


@contextmanager
def server(
    fill: str = "abc", on_step: Callable[[int], None] = lambda _: None, decoder: Decoder | None = None, **settings: Any
) -> Iterator[httpx.Client]:
    """A client of a server whose model writes `fill` into every hole."""
    with listener(fill, on_step, decoder, **settings) as running:
        secure, port = running.secure, port_of(running)
        address = f"http{'s' if secure else ''}://127.0.0.1:{port}"
        with httpx.Client(base_url=address, timeout=PATIENCE_S, verify=not secure) as client:
            until(lambda: client.get("/health/ready").status_code == 200)
            yield client


@contextmanager
def listener(
    fill: str = "abc", on_step: Callable[[int], None] = lambda _: None, decoder: Decoder | None = None, **settings: Any
) -> Iterator[listening.HttpServer]:
    """The server itself."""
    model = decoder or scripted_decoder(fill, on_step=on_step)
    batch, languages = settings.pop("batch", 8), settings.pop("languages", ())
    connections = {name: settings.pop(name) for name in ("timeouts", "max_connections", "secure") if name in settings}
    whole = loaded(model)
    scripted = replace(whole, facts=replace(whole.facts, languages=languages))
    engine = ModelEngine(ModelOptions("scripted", batch=batch), lambda _: scripted)
    running = listening.HttpServer(app.build(engine, **settings), **connections)
    thread = threading.Thread(target=running.run)
    thread.start()
    until(lambda: running.started)
    try:
        yield running
    finally:
        running.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def port_of(running: listening.HttpServer) -> int:
    port = running.servers[0].sockets[0].getsockname()[1]
    assert isinstance(port, int)
    return port


class Process:
    """`lacuna serve` with `arguments` on a free port."""

    def __init__(self, log: Path, *arguments: str, files: int | None = None) -> None:
        """`files`: the limit of open files."""
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lacuna_server", "serve", "--port", "0", *arguments],
                stdout=subprocess.DEVNULL,
                stderr=file,
                env={"PATH": "", "HOME": str(log.parent), "PYTHONUNBUFFERED": "1", "COLUMNS": "200", **_TREE},
                preexec_fn=files and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))),
            )

    def __enter__(self) -> Process:
        until(lambda: "Lacuna serves" in self.log_text or self.process.poll() is not None)
        found = re.search(r"Lacuna serves (\S+)", self.log_text)
        assert found, self.log_text
        self.url = found[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def log_text(self) -> str:
        return self.log.read_text()

    def resident_mib(self) -> float:
        """The process's resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found
        return int(found[1]) / 1024


def until(happened: Callable[[], bool]) -> None:
    """Waits until something has happened."""
    limit = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.01)


def sent_events(response: httpx.Response) -> list[str]:
    """The data of server-sent events."""
    return [line.removeprefix("data: ") for line in response.text.split("\n") if line.startswith("data: ")]
