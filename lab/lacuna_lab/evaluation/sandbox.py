"""Runs the program on standard input under limits. `execute.py` starts this file as a script, without any package.

Arguments: seconds of CPU time, memory in MiB. The first line of standard input is printed once the program that follows
it has run to its end. This keeps clumsy programs from doing harm; a malicious program can get around it.
"""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import sys
import types
from collections.abc import Callable
from typing import Any


def main(seconds: float, memory_mb: int) -> None:
    """Sets the limits, disconnects from the network, and runs the program."""
    end, program = sys.stdin.read().split("\n", 1)
    output = sys.stdout
    code = compile(program, "<program>", "exec")
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module  # hides this module's names from the program
    _leave_network()
    _limit(seconds, memory_mb)
    _remove_unaudited()
    sys.addaudithook(_guard(os.getcwd()))  # noqa: PTH109 - os.path is what the guard uses
    exec(code, module.__dict__)  # noqa: S102 - running the program is what this file is for
    output.write(end)
    output.flush()


def _limit(seconds: float, memory_mb: int) -> None:
    """Limits CPU time, memory, file size and open files; forbids core files and child processes (except for root)."""
    for kind, value in (
        (resource.RLIMIT_CPU, math.ceil(seconds)),
        (resource.RLIMIT_AS, memory_mb << 20),
        (resource.RLIMIT_FSIZE, 1 << 20),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):  # macOS does not support all of them; the parent still enforces the time
            continue


def _leave_network() -> None:
    """Enters an empty network namespace where the system lets a user create one (Linux); the guard applies anyway."""
    new_user, new_network = 0x10000000, 0x40000000
    try:
        unshare = ctypes.CDLL(None).unshare
    except (OSError, AttributeError):
        return
    if unshare(new_network) != 0:
        unshare(new_user | new_network)


def _remove_unaudited() -> None:
    """Removes functions that reach outside without raising an audit event."""
    for module, names in ((os, ("mknod", "mkfifo", "pidfd_open")), (signal, ("pidfd_send_signal",))):
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    sys.modules["_posixsubprocess"] = None  # type: ignore[assignment] # makes its import fail


def _guard(folder: str) -> Callable[[str, tuple[Any, ...]], None]:
    """A hook that raises PermissionError for operations that no solution needs."""
    forbidden = (
        "socket.", "subprocess.", "ctypes.", "sqlite3.", "resource.", "shutil.", "os.system", "os.exec",
        "os.posix_spawn", "os.spawn", "os.fork", "os.kill", "os.putenv", "os.chmod", "os.chown", "os.link",
        "os.symlink", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.mkdir", "os.setxattr",
        "signal.pthread_kill", "sys.addaudithook", "gc.get_", "pty.", "webbrowser.",
    )  # fmt: skip
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    real_path, separator = os.path.realpath, os.sep
    own = real_path(folder) + separator

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(forbidden):
            raise PermissionError(f"{event} is not allowed here")
        if event != "open" or not arguments[2] & writing:
            return
        path, mode = arguments[:2]
        if mode is None or not isinstance(path, str) or not real_path(path).startswith(own):  # None: os.open
            raise PermissionError("writing outside the working folder is not allowed here")

    return hook


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
