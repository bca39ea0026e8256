"""Output of the commands: results go to stdout, messages to stderr, progress only to a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from lacuna_inference.api import Engine, EngineState, Phase
from lacuna_inference.errors import EngineUnavailable

stdout = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
stderr = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
"""Paths and names are printed verbatim: `[/x]` is not markup and `:x:` not an emoji."""
_UNLIMITED_WIDTH = 10_000


def fault(message: str) -> None:
    """Prints an error to stderr."""
    stderr.print(Text.assemble(("lacuna: ", "bold red"), message))


def warning(message: str) -> None:
    """Prints a warning to stderr."""
    stderr.print(Text.assemble(("Warning: ", "bold yellow"), message))


def print_table(table: Table) -> None:
    """Prints `table` to stdout without truncation: folded on a terminal, else each row on one line."""
    for column in table.columns:
        column.overflow = "fold"
    if stdout.is_terminal:
        stdout.print(table)
        return
    wide = Console(file=io.StringIO(), width=_UNLIMITED_WIDTH, highlight=False, markup=False, emoji=False)
    wide.print(table)
    rows = wide.file.getvalue().splitlines()  # type: ignore[attr-defined]
    print("\n".join(row.rstrip() for row in rows))  # noqa: T201


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """A progress bar on stderr; hidden when stderr is not a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        bar.add_task(title, total=1.0)
        yield bar


def wait_until_warm(engine: Engine) -> None:
    """Starts `engine` and shows its loading. Raises EngineUnavailable with the reason if it fails."""
    import threading

    finished = threading.Event()
    with progress("loading") as bar:
        task = bar.task_ids[0]

        def on_state(state: EngineState) -> None:
            bar.update(task, completed=state.progress, description=f"loading {state.model}: {state.message}")
            if state.phase in (Phase.WARM, Phase.FAILED):
                finished.set()

        engine.watch(on_state)
        engine.start()
        finished.wait()
    if engine.state.phase is Phase.FAILED:
        raise EngineUnavailable(engine.state.message)
