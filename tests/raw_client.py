"""A client that sees every frame and every exit code, which pytest-lsp hides from a test."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

TIMEOUT_S = 60.0
_SCRIPT = str(Path(sys.executable).parent / "lacuna")


class RawClient:
    """Starts `lacuna lsp` and speaks frames with it over stdio."""

    def __init__(
        self,
        *arguments: str,
        env: dict[str, str] | None = None,
        python: tuple[str, ...] = (),
        program: str | None = None,
    ) -> None:
        """With `python` the server is started as a module by an interpreter with these options.

        `program` is a module to run instead.
        """
        start = [sys.executable, *python, "-P", "-m", "lacuna_server"] if python else [_SCRIPT]
        command = [sys.executable, "-P", "-m", program] if program else [*start, "lsp", *arguments]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        self.messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.passed: list[dict[str, Any]] = []
        """Messages that came before an answer that was waited for."""
        self._lines: list[bytes] = []
        self._readers = [threading.Thread(target=t, daemon=True) for t in (self._read_frames, self._read_stderr)]
        for reader in self._readers:
            reader.start()
        self._next_id = 0

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def stderr(self) -> bytes:
        """What the server has logged so far."""
        return b"".join(self._lines)

    def send(self, content: object) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def request(self, method: str, params: object = None) -> int:
        self._next_id += 1
        self.send({"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params})
        return self._next_id

    def notify(self, method: str, params: object = None) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def answer(self, identity: int | None) -> dict[str, Any]:
        """The answer to request `identity`; other messages before it are skipped."""
        while True:
            message = self.messages.get(timeout=TIMEOUT_S)
            assert message is not None, self.stderr.decode()
            if "method" not in message and message.get("id") == identity:
                return message
            self.passed.append(message)

    def wait_for(self, method: str, text: str) -> dict[str, Any]:
        """The next message of `method` that contains `text`, including skipped ones."""
        while True:
            for message in self.passed:
                if message.get("method") == method and text in json.dumps(message, ensure_ascii=False):
                    self.passed.remove(message)
                    return message
            came = self.messages.get(timeout=TIMEOUT_S)
            assert came is not None, self.stderr.decode()
            self.passed.append(came)

    def call(self, method: str, params: object = None) -> dict[str, Any]:
        return self.answer(self.request(method, params))

    def initialize(self, **extra: object) -> dict[str, Any]:
        params = {"processId": os.getpid(), "rootUri": None, "capabilities": {}, **extra}
        return self.call("initialize", params)

    def close_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def exit_code(self) -> int:
        code = self.process.wait(TIMEOUT_S)
        for reader in self._readers:
            reader.join(TIMEOUT_S)
        return code

    def _read_frames(self) -> None:
        out = self.process.stdout
        assert out is not None
        while header := out.readline():
            length = int(header.split(b":")[1])
            while out.readline().strip():
                pass
            self.messages.put(json.loads(out.read(length)))
        self.messages.put(None)

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.append(line)
