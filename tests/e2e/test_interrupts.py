"""Ctrl-C ends every command with exit code 130 and without output, whatever the process is doing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "temperature.py")
PRESSED_WHILE_IMPORTING = """
import os, signal, sys

class Finder:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
"""
PRESSED_WHILE_COMPUTING = """
import os, signal, threading
from {module} import {owner}

def compute(*_):
    import torch
    matrix = torch.ones(300, 300)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    while True:
        matrix @ matrix

{owner}.{function} = compute
"""
RUN = "\nfrom lacuna_server.__main__ import main\nmain()\n"


def interrupted(program: str, *arguments: str) -> tuple[int, bytes, bytes]:
    """Exit code, stdout and stderr of the command line run after `program`, which presses Ctrl-C."""
    command = [sys.executable, "-c", program + RUN, *arguments]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("typer", ("complete", EXAMPLE)),
        ("lacuna_server.commands.doctor", ("doctor",)),
        ("torch.nn", ("complete", EXAMPLE)),  # by the engine's thread
        ("torch.nn", ("doctor",)),
        ("torch.nn", ("precision",)),
    ],
)
def test_during_an_import(module: str, command: tuple[str, ...]) -> None:
    assert interrupted(PRESSED_WHILE_IMPORTING.format(module=module), *command) == (130, b"", b"")


@pytest.mark.parametrize(
    ("module", "owner", "function", "command"),
    [
        ("lacuna_inference.engine", "assemble", "load_model", ("complete", EXAMPLE)),  # by the engine's thread
        ("lacuna_inference.engine.batch", "Batch", "advance", ("complete", EXAMPLE)),
        ("lacuna_inference.engine", "assemble", "load_model", ("eval", "--file-count", "1")),
    ],
)
def test_during_a_computation(module: str, owner: str, function: str, command: tuple[str, ...]) -> None:
    program = PRESSED_WHILE_COMPUTING.format(module=module, owner=owner, function=function)
    code, _, said = interrupted(program, *command)
    assert (code, b"Traceback" in said, b"terminate" in said) == (130, False, False), said


def test_an_interrupt_that_a_library_swallows_is_not_lost() -> None:
    program = """
import os, signal
from lacuna_server import interrupts
from lacuna_server import statistics

interrupts._GRACE_S = 0.01

def read(_):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        signal.pause()

statistics.read = read
"""
    assert interrupted(program, "stats") == (130, b"", b"")


def test_partially_written_files_are_removed(tmp_path: Path) -> None:
    program = """
import os, signal
from lacuna_server.bundle import create

def press(*_):
    assert os.listdir(".")
    os.kill(os.getpid(), signal.SIGINT)

create._pip = press
"""
    assert interrupted(program, "bundle", "create", "-o", "bundle.tar")[0] == 130
    assert list(tmp_path.iterdir()) == []
