"""Ctrl-C ends every command with exit code 130, whatever the process is doing.

A command is interrupted by KeyboardInterrupt, so that it removes what it has half written. Where nothing can be half
written yet, or where that takes too long, the process ends at once: an exception that passes through a library's
native code may abort it, and the interpreter's own end aborts it while the engine's thread is inside torch.

Imports only the smallest parts of the standard library: it runs before everything else.
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
    """From now on Ctrl-C ends the process without further ado. Does nothing where Ctrl-C is ignored (`nohup`)."""
    _handle_with(_leave)


def end_gently() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt; a second one, or five more seconds, end the process."""
    _handle_with(_interrupt)


def came() -> bool:
    """Whether Ctrl-C was pressed: whatever a library made of the exception, that is why the command ended."""
    return _came


def _handle_with(handler: signal._HANDLER) -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)


def _interrupt(*_: object) -> None:
    global _came
    _came = True
    signal.signal(signal.SIGINT, _leave)
    sys.unraisablehook = lambda _: None  # exceptions that destructors swallow are no news now
    _thread.start_new_thread(_leave_later, ())  # not threading's: the interrupted code may hold its locks
    raise KeyboardInterrupt


def _leave_later() -> NoReturn:
    time.sleep(_GRACE_S)
    _leave()


def _leave(*_: object) -> NoReturn:
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, _SHOW_CURSOR)  # a progress bar may have hidden it
    os._exit(INTERRUPTED)
