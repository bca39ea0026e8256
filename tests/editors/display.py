"""A virtual screen with a real graphical editor on it: presses keys, and waits for what the screen shows."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

WIDTH, HEIGHT = 1000, 700
PATIENCE_S = 30.0
NEEDED = ("Xvfb", "openbox", "xdotool", "dbus-run-session")


class Display:
    """Runs `command` on a screen of its own, under a window manager; everything is killed at the end of the block."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        if missing := [name for name in NEEDED if shutil.which(name) is None]:
            pytest.skip(f"{', '.join(missing)}: not installed: make editors")
        self._folder = folder
        self._command = command
        self._environment = {
            **environment,
            "LC_ALL": "C.UTF-8",
            "QT_QPA_PLATFORM": "xcb",
            "XDG_RUNTIME_DIR": str(folder),
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Display:
        folder = self._folder
        folder.chmod(0o700)
        theirs, ours = os.pipe()
        size = f"{WIDTH}x{HEIGHT}x24"
        self._start(
            ["Xvfb", "-displayfd", str(ours), "-screen", "0", size, "-fbdir", str(folder), "-nolisten", "tcp"], ours
        )
        os.close(ours)
        with os.fdopen(theirs) as answer:
            self._environment["DISPLAY"] = f":{answer.readline().strip()}"
        self._start(["openbox"])
        self._start(["dbus-run-session", "--", *self._command])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.picture().save(self._folder / "failed.png")
        for process in reversed(self._running):
            process.terminate()
        for process in reversed(self._running):
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def pixels(self) -> npt.NDArray[np.uint32]:
        """What the screen shows: rows of 32-bit pixels."""
        data = (self._folder / "Xvfb_screen0").read_bytes()
        header = struct.unpack(">25I", data[:100])  # an X window dump
        start, row = header[0] + 12 * header[19], header[12]
        lines = np.frombuffer(data, np.uint8, HEIGHT * row, start).reshape(HEIGHT, row)
        shown: npt.NDArray[np.uint32] = lines[:, : 4 * WIDTH].copy().view("<u4")
        return shown

    def picture(self) -> Image.Image:
        channels = self.pixels().view(np.uint8).reshape(HEIGHT, WIDTH, 4)
        return Image.fromarray(channels[:, :, [2, 1, 0]].copy())

    def press(self, *keys: str) -> None:
        """Presses keys by their names: `ctrl+s`, `Return`."""
        self._xdotool("key", "--delay", "60", *keys)

    def type(self, text: str) -> None:
        self._xdotool("type", "--delay", "60", text)

    def until(self, happened: Callable[[], bool], what: str) -> None:
        limit = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < limit, f"{what} did not come"
            time.sleep(0.05)

    def until_steady(self) -> npt.NDArray[np.uint32]:
        """Waits until the screen stays as it is but for a blinking cursor; returns it."""
        shown, since = self.pixels(), time.monotonic()
        limit = since + PATIENCE_S
        while time.monotonic() - since < 0.5:
            assert time.monotonic() < limit, "the screen does not come to rest"
            time.sleep(0.05)
            if changed(shown, now := self.pixels()) > 100:
                shown, since = now, time.monotonic()
        return shown

    def idle(self, seconds: float) -> None:
        """Lets the editor work for some time; for pictures, not for tests."""
        time.sleep(seconds)

    def until_changed(self, before: npt.NDArray[np.uint32]) -> None:
        """Waits until something as large as a menu has appeared since `before`, and is drawn."""
        self.until(lambda: changed(before, self.pixels()) > 3000, "the menu")
        self.until_steady()

    def _start(self, command: Sequence[str], *kept: int) -> None:
        log = (self._folder / "display.log").open("ab")
        self._running.append(
            subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, pass_fds=kept, cwd=self._folder)
        )
        log.close()

    def _xdotool(self, *words: str) -> None:
        subprocess.run(["xdotool", *words], env=self._environment, check=True)


def changed(before: npt.NDArray[np.uint32], after: npt.NDArray[np.uint32]) -> int:
    """How many pixels differ."""
    return int(np.count_nonzero(before != after))
