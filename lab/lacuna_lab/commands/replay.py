"""`lacuna replay`: types unseen code into the real language server, and prints what share of it is kept."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rich.markdown import Markdown

from lacuna_inference.errors import BadRequest
from lacuna_lab.bench.model import rivals
from lacuna_lab.commands.bench import of_its_own
from lacuna_lab.evaluation import files
from lacuna_lab.replay import chart, figures, history, report, run, tasks
from lacuna_lab.replay.tasks import ReplayTask
from lacuna_server.commands.show import progress, stderr, stdout
from lacuna_server.settings import Settings, unknown

if TYPE_CHECKING:
    from lacuna_lab.replay.session import Session

CHOSEN = ("model", "family", "device", "dtype", "context", "max_tokens")
"""Settings that are options of the command."""
_DRAWN = 3
"""Held-out files that are drawn for each that is typed: some are generated."""
_SETTING = re.compile(r",(?=\w+=)")


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What is typed: blocks of files, held-out ones without `files` and `repositories`, or changes of repositories."""

    files: Sequence[Path] = ()
    file_count: int = 20
    per_file: int = 1
    repositories: Sequence[Path] = ()
    changes: int = 20
    languages: Sequence[str] = ()
    """If there are none: all that are known, but for prose."""
    other_files: bool = False
    """Whether the other files of the named folders, or of the repositories at that time, are seen."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Contest:
    """Who takes part beside Lacuna with the given settings, and on which clock."""

    also: Sequence[str] = ()
    """Settings to change, `NAME=VALUE` with commas between them: another Lacuna each."""
    rival: bool = True
    in_time: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """Where the results go, beside the table: all of it JSON instead, a chart, a file with every display."""

    as_json: bool = False
    chart: Path | None = None
    displays: Path | None = None


def replay(settings: Settings, plan: ReplayPlan, contest: Contest, output: Output) -> None:
    """Types and prints. Raises a LacunaError before that if something is missing."""
    if output.chart is not None:
        chart.check(output.chart)
    if output.displays is not None and not output.displays.parent.is_dir():
        raise BadRequest(f"There is no folder {output.displays.parent}.", "Create it, or name another.")
    if plan.other_files and not contest.in_time:
        raise BadRequest("Other files are read in pauses, and a patient typist makes none.", "Add --in-time.")
    variants = {"Lacuna": {}, **{text: _changed(settings, text) for text in contest.also}}
    rival = _rival_file(settings) if contest.rival else None
    with of_its_own() as around, TemporaryDirectory() as trees:
        chosen = tasks_of(plan, Path(trees))
        stderr.print(f"{len(chosen)} tasks, {sum(len(task.target) for task in chosen)} characters")
        entries = [_lacuna(name, {**around, **_variables(settings), **v}, contest) for name, v in variants.items()]
        if rival is not None:
            entries.append(_llama_vim(rival, settings, contest))
        with _bar(len(chosen) * len(entries)) as advance:
            sessions = run.replay(chosen, entries, advance, contest.in_time)
    _print(sessions, plan, contest, output)


def tasks_of(plan: ReplayPlan, trees: Path) -> list[ReplayTask]:
    """The tasks of the plan, in random order; the folder `trees` is for the repositories' other files.

    Raises BadRequest when there is none.
    """
    found: list[ReplayTask] = []
    kept = trees if plan.other_files else None
    for path in plan.repositories:
        found += history.from_history(path, plan.changes, plan.seed, plan.languages, kept)
    if plan.files or not plan.repositories:
        typed = tasks.from_files(_sources(plan), plan.per_file, plan.seed)
        found += [_in_its_folder(task, plan.files) for task in typed] if plan.other_files else typed
    if not found:
        raise BadRequest(
            f"No file has {tasks.MIN_LINES} lines of code in such a language.",
            "Name others with --files, or --language.",
        )
    random.Random(plan.seed).shuffle(found)
    return found


def _in_its_folder(task: ReplayTask, folders: Sequence[Path]) -> ReplayTask:
    """The task with the named folder that its file is in, if there is one."""
    file = Path(task.path).resolve()
    root = next((folder.resolve() for folder in folders if file.is_relative_to(folder.resolve())), None)
    return task if root is None or root == file else replace(task, root=root, path=str(file.relative_to(root)))


def _sources(plan: ReplayPlan) -> list[files.SourceFile]:
    if plan.files:
        found = files.any_text(list(plan.files), "--files")
        random.Random(plan.seed).shuffle(found)
    else:
        found = files.held_out(_DRAWN * plan.file_count, plan.seed)
    wanted = [source for source in found if tasks.is_wanted(source.name, plan.languages) and tasks.is_by_hand(source)]
    return wanted[: plan.file_count]


def _changed(settings: Settings, text: str) -> dict[str, str]:
    """The environment variables for settings that are changed by `NAME=VALUE,...`."""
    pairs = [part.partition("=") for part in _SETTING.split(text)]
    for name, _, value in pairs:
        if name not in Settings.model_fields:
            raise BadRequest(unknown(name), "Write --also SETTING=VALUE.")
        _, warnings = settings.changed({name: _parsed(value)})
        if warnings and not settings.is_pinned(name):
            raise BadRequest(warnings[0], "Write --also SETTING=VALUE.")
    return {f"LACUNA_{name.upper()}": value for name, _, value in pairs}


def _parsed(value: str) -> Any:
    """Mappings and lists are written as JSON, as in the environment."""
    try:
        return json.loads(value) if value.startswith(("{", "[")) else value
    except ValueError:
        return value


def _variables(settings: Settings) -> dict[str, str]:
    """The environment variables of the settings that were chosen."""
    return {f"LACUNA_{name.upper()}": str(getattr(settings, name)) for name in CHOSEN}


def _rival_file(settings: Settings) -> Path:
    """The GGUF file for llama.cpp. Raises BadRequest if it cannot take part."""
    from lacuna_inference.models.loading import sources

    if not rivals.is_installed():
        raise BadRequest("llama.cpp's server is not there.", "Run pip install xllamacpp, or omit --rival.")
    options = settings.model_options()
    model = sources.find(options.model, options.revision)
    if model.gguf is None:
        raise BadRequest(f"{settings.model} is not a GGUF file, which llama.cpp needs.", "Name one, or omit --rival.")
    return model.path


def _lacuna(name: str, environment: Mapping[str, str], contest: Contest) -> run.Entry:
    from lacuna_lab.replay.lacuna import lacuna

    return run.Entry(name, partial(lacuna, name, environment, not contest.in_time))


def _llama_vim(file: Path, settings: Settings, contest: Contest) -> run.Entry:
    from lacuna_lab.replay import llama_vim_client as client

    gpu = settings.device != "cpu"
    return run.Entry(client.NAME, partial(client.llama_vim, file, settings.context, gpu, not contest.in_time))


@contextmanager
def _bar(count: int) -> Iterator[run.Report]:
    """A progress bar over all contestants' tasks."""
    with progress("starting") as bar:
        done = 0

        def advance(name: str, number: int) -> None:
            nonlocal done
            bar.update(bar.task_ids[0], completed=done / count, description=f"{name}: task {number + 1}")
            done += 1

        yield advance


def _print(sessions: Mapping[str, Sequence[Session]], plan: ReplayPlan, contest: Contest, output: Output) -> None:
    rows = figures.rows(sessions)
    if output.displays is not None:
        lines = "".join(f"{line}\n" for line in report.displays(sessions))
        try:
            output.displays.write_text(lines, encoding="utf-8")
        except OSError as error:
            raise BadRequest(f"{output.displays} cannot be written: {error.strerror or error}.") from error
    if output.as_json:
        content = {"seed": plan.seed, "in_time": contest.in_time, "rows": report.as_json(rows)}
        print(json.dumps(content, indent=1))  # noqa: T201
    elif stdout.is_terminal:
        stdout.print(Markdown(report.markdown(rows)))
    else:
        stdout.print(report.markdown(rows))
    if output.chart is not None:
        chart.draw(rows, output.chart)
