"""A terminal with a real editor in it: types keys, and waits for what the screen shows."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import pyte

ROWS, COLUMNS = 24, 100
PATIENCE_S = 40.0


class _Screen(pyte.Screen):
    """Ignores private variants of sequences that the library does not know; editors send them."""


def _tolerant(name: str) -> Callable[..., Any]:
    known = getattr(pyte.Screen, name)

    def handle(self: pyte.Screen, *args: Any, **kwargs: Any) -> Any:
        return None if kwargs.pop("private", False) else known(self, *args, **kwargs)

    return handle


for _name in ("select_graphic_rendition", "report_device_status", "cursor_up", "cursor_down", "cursor_position",
              "erase_in_line", "insert_lines", "delete_lines", "set_margins", "cursor_to_line"):  # fmt: skip
    setattr(_Screen, _name, _tolerant(_name))


class Terminal:
    """Runs `command` in a pseudo-terminal; it is killed at the end of the block."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._screen = _Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._pid, self._descriptor = pty.fork()
        if self._pid == 0:
            os.execvpe(command[0], list(command), {**environment, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"})
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        try:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass

    @property
    def text(self) -> str:
        """What the screen shows, without blanks at the ends of lines."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def cell(self, row: int, column: int) -> Any:
        """A character of the screen with its colours."""
        return self._screen.buffer[row][column]

    def idle(self, seconds: float) -> None:
        """Lets the editor draw for some time; for pictures, not for tests."""
        self._read(seconds)

    def keys(self, text: str) -> None:
        """Types `text`, key by key, and reads what comes back after each."""
        for key in [text] if text.startswith("\x1b") else text:
            os.write(self._descriptor, key.encode())
            self._read(0.02)

    def until(self, happened: Callable[[], bool], what: str) -> None:
        """Waits until `happened`; fails with the screen."""
        limit = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < limit, f"{what} did not come:\n{self.text}"
            self._read(0.05)

    def until_shown(self, text: str) -> None:
        self.until(lambda: text in self.text, repr(text))

    def until_ended(self) -> None:
        """Waits until the editor exits."""
        self.until(lambda: os.waitpid(self._pid, os.WNOHANG)[0] != 0, "the end")

    def _read(self, seconds: float) -> None:
        limit = time.monotonic() + seconds
        while select.select([self._descriptor], [], [], max(0.0, limit - time.monotonic()))[0]:
            try:
                data = os.read(self._descriptor, 2**16)
            except OSError:  # the editor has ended
                return
            if not data:
                return
            self._stream.feed(data)
