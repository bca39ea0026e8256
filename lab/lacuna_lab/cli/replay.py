"""`lacuna replay`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lacuna_inference.models.loading.sources import configure_libraries
from lacuna_server import settings as settings_module
from lacuna_server.cli_options import Given, Json, command

replay_app = typer.Typer()
"""Has no name: its command is at the top level."""


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """What is typed."""

    files: Annotated[
        list[Path] | None, typer.Option(help="Type blocks of these files, or of those in these folders; repeatable.")
    ] = None
    file_count: Annotated[int, typer.Option(min=1, help="Number of files.")] = 20
    per_file: Annotated[int, typer.Option(min=1, help="Blocks per file.")] = 1
    history: Annotated[
        list[Path] | None, typer.Option(help="Type what was added in commits of this git repository; repeatable.")
    ] = None
    changes: Annotated[int, typer.Option(min=1, help="Changes per repository.")] = 20
    language: Annotated[
        list[str] | None,
        typer.Option(help="Only files in this language, by its editor id; repeatable. By default all but Markdown."),
    ] = None
    other_files: Annotated[
        bool,
        typer.Option(
            "--other-files",
            help="Open the folders of --files, or the repositories as they were before each change, with the file."
            " Needs --in-time.",
        ),
    ] = False
    seed: Annotated[int, typer.Option(help="Random seed for files, blocks and changes.")] = 0


@dataclass(frozen=True, slots=True)
class ContestOptions:
    """Who suggests, and on which clock."""

    also: Annotated[
        list[str] | None,
        typer.Option(help="Also measure Lacuna with settings changed: SETTING=VALUE[,SETTING=VALUE]; repeatable."),
    ] = None
    rival: Annotated[
        bool, typer.Option("--rival", help="Also measure llama.cpp's server, asked as llama.vim asks.")
    ] = False
    in_time: Annotated[
        bool, typer.Option("--in-time", help="Type as fast as people do, instead of waiting for each answer.")
    ] = False


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Where results go beside the table."""

    chart: Annotated[Path | None, typer.Option(help="Also plot what is kept and what is wrong to this PNG file.")] = (
        None
    )
    displays: Annotated[
        Path | None, typer.Option(help="Also write every display to this file, with the code around it.")
    ] = None


@replay_app.command("replay")
@command
def replay(
    given: Annotated[dict[str, Any], Given("model", "family", "device", "dtype", "context", "max_tokens")],
    typed: TaskOptions,
    contest: ContestOptions,
    out: OutputOptions,
    json: Json = False,
) -> None:
    """Measure what share of suggestions is kept by somebody who types unseen code into the real language server."""
    configure_libraries()
    from lacuna_lab.commands import replay as replay_command

    plan = replay_command.ReplayPlan(
        typed.files or (), typed.file_count, typed.per_file,
        typed.history or (), typed.changes, typed.language or (), typed.other_files, typed.seed,
    )  # fmt: skip
    replay_command.replay(
        settings_module.load(**given),
        plan,
        replay_command.Contest(contest.also or (), contest.rival, contest.in_time),
        replay_command.Output(json, out.chart, out.displays),
    )
