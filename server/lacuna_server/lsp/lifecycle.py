"""The end of the process: exit code, deadline, and a watchdog for the editor that started it."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

EXIT_DEADLINE_S = 2.0
WATCH_INTERVAL_S = 3.0

logger = logging.getLogger(__name__)


class Lifecycle:
    """Keeps the exit code and makes sure that the process ends, even while the model computes."""

    def __init__(self) -> None:
        self.code = 0
        self._ending = False

    def exit(self, code: int) -> None:
        """Ends the process with `code` within the deadline, whatever other threads do."""
        self.code = code
        if not self._ending:
            self._ending = True
            _start_daemon("lacuna-exit", self._leave_after_deadline)

    def leave(self) -> NoReturn:
        """Ends the process now. A regular interpreter exit would wait seconds for the model's libraries."""
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(self.code)

    def watch_parent(self, pid: int | None) -> None:
        """Ends the process when process `pid` has ended: an editor that crashes sends no exit notification."""
        if pid:
            _start_daemon("lacuna-parent", lambda: self._wait_for_end_of(pid))

    def _wait_for_end_of(self, pid: int) -> None:
        while is_alive(pid):
            time.sleep(WATCH_INTERVAL_S)
        logger.warning("The editor's process has ended; the server exits.")
        os._exit(1)

    def _leave_after_deadline(self) -> None:
        time.sleep(EXIT_DEADLINE_S)
        os._exit(self.code)


def is_alive(pid: int) -> bool:
    """Whether process `pid` exists."""
    if sys.platform == "win32":
        return _is_alive_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_alive_on_windows(pid: int) -> bool:
    import ctypes

    synchronize, timed_out, access_denied = 0x00100000, 0x00000102, 5
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    handle = kernel.OpenProcess(synchronize, False, pid)
    if not handle:
        return bool(kernel.GetLastError() == access_denied)
    alive = kernel.WaitForSingleObject(handle, 0) == timed_out
    kernel.CloseHandle(handle)
    return bool(alive)


def _start_daemon(name: str, target: Callable[[], None]) -> None:
    threading.Thread(target=target, name=name, daemon=True).start()
