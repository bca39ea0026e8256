"""Ctrl-C ends every command with exit code 130, whatever the process is doing.

A command is interrupted by KeyboardInterrupt, so that it removes partial files. Where there can be none yet, or where
cleaning up takes too long, the process ends immediately: an exception that passes through a library's native code may
abort it, and a normal shutdown aborts it while the engine's thread is inside torch.

Imports only small modules of the standard library, because it runs before everything else.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from contextlib import suppress
from typing import NoReturn

INTERRUPTED = 130
"""The exit code after Ctrl-C."""
_GRACE_S = 5.0
_SHOW_CURSOR = b"\x1b[?25h"

_came = False


def end_at_once() -> None:
    """Makes Ctrl-C end the process immediately. Does nothing where Ctrl-C is ignored (`nohup`)."""
    _handle_with(_leave)


def end_gently() -> None:
    """Makes Ctrl-C raise KeyboardInterrupt. A second Ctrl-C, or another five seconds, end the process."""
    _handle_with(_interrupt)


def came() -> bool:
    """Whether Ctrl-C was pressed. That is why the command ended, even if a library replaced the exception."""
    return _came


def _handle_with(handler: signal._HANDLER) -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)


def _interrupt(*_: object) -> None:
    global _came
    _came = True
    signal.signal(signal.SIGINT, _leave)
    sys.unraisablehook = lambda _: None  # destructors may swallow the exception
    _thread.start_new_thread(_leave_later, ())  # not threading.Thread: the interrupted code may hold its locks
    raise KeyboardInterrupt


def _leave_later() -> NoReturn:
    time.sleep(_GRACE_S)
    _leave()


def _leave(*_: object) -> NoReturn:
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, _SHOW_CURSOR)  # a progress bar may have hidden it
    os._exit(INTERRUPTED)
