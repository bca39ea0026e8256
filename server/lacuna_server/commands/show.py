"""How the commands print: progress on a terminal only, facts to stdout, everything about them to stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from lacuna_inference.api import Engine, EngineState, Phase
from lacuna_inference.errors import EngineUnavailable

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """A progress bar on stderr; nothing when stderr is no terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        bar.add_task(title, total=1.0)
        yield bar


def wait_until_warm(engine: Engine) -> None:
    """Starts `engine` and shows its loading. Raises EngineUnavailable with the reason when it fails."""
    import threading

    settled = threading.Event()
    with progress("loading") as bar:
        task = bar.task_ids[0]

        def on_state(state: EngineState) -> None:
            bar.update(task, completed=state.progress, description=f"loading {state.model}: {state.message}")
            if state.phase in (Phase.WARM, Phase.FAILED):
                settled.set()

        engine.watch(on_state)
        engine.start()
        settled.wait()
    if engine.state.phase is Phase.FAILED:
        raise EngineUnavailable(engine.state.message)
