"""Ends a command with one of four exit codes, and prints its error as one sentence."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_server import interrupts
from lacuna_server.interrupts import INTERRUPTED

DONE, FAILURE, USAGE = 0, 1, 2
MEANINGS = {
    DONE: "The command succeeded.",
    FAILURE: "The command failed, or `lacuna doctor` found a problem. A message on stderr says what happened and what "
    "to do.",
    USAGE: "The command was used incorrectly: an unknown option, an invalid value, or a file that cannot be read.",
    INTERRUPTED: "The command was interrupted by Ctrl-C.",
}
"""The exit codes."""


def end(command: Callable[[], object], debug: bool = False) -> NoReturn:
    """Runs `command` and ends the process with its exit code. With `debug`, errors print their traceback."""
    try:
        interrupts.end_gently()
        code = _code_of(command, debug)
    except KeyboardInterrupt:  # while the error was printed
        code = INTERRUPTED
    leave(INTERRUPTED if interrupts.came() else code)


def leave(code: int) -> NoReturn:
    """Ends the process immediately.

    A normal shutdown of the interpreter waits seconds for the model's libraries, and aborts the process if the engine's
    thread is inside one of them.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    if (processes := sys.modules.get("multiprocessing")) is not None:
        for child in processes.active_children():
            child.terminate()
    logging.shutdown()
    os._exit(code)


def _code_of(command: Callable[[], object], debug: bool) -> int:
    try:
        result = command()
        sys.stdout.flush()
    except BrokenPipeError:  # `lacuna stats | head -0`: the reader has closed the pipe
        return FAILURE
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else FAILURE
    except Exception as error:
        return _failed(error, debug)
    return result if isinstance(result, int) else DONE


def _failed(error: Exception, debug: bool) -> int:
    """Prints the error and returns the exit code."""
    if interrupts.came():
        return INTERRUPTED
    if debug:
        traceback.print_exc()
    exit_code = getattr(error, "exit_code", None)  # typer's own usage errors carry one
    code = USAGE if isinstance(error, BadRequest) else exit_code if isinstance(exit_code, int) else FAILURE
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
        print(error.format_message(), file=sys.stderr)  # type: ignore[attr-defined]  # noqa: T201
    elif not debug:
        _print_error(_sentence(error))
    return code


def _sentence(error: Exception) -> str:
    if isinstance(error, LacunaError):
        return str(error)
    if (formatted := getattr(error, "format_message", None)) is not None:
        return str(formatted())
    if isinstance(error, OSError) and error.strerror:
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return f"{where}{error.strerror}. Run again with --debug to see where."
    return f"{type(error).__name__}: {error}. Run again with --debug."


def _print_error(message: str) -> None:
    """Prints one line to stderr, styled only on a terminal."""
    console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    console.print(Text.assemble(("lacuna: ", "bold red"), " ".join(message.split())))
