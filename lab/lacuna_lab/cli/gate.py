"""`lacuna gate`: what suggestions are shown, measured and fitted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lacuna_inference.models.loading.sources import configure_libraries
from lacuna_server import settings as settings_module
from lacuna_server.cli_options import Given, Json, command

gate_app = typer.Typer(no_args_is_help=True, help="Measure how likely suggestions are right, and fit what is shown.")
AnswerFiles = Annotated[list[Path], typer.Argument(help="Files that `lacuna gate collect` wrote.")]


@dataclass(frozen=True, slots=True)
class PlaceOptions:
    """Where the model is asked."""

    files: Annotated[
        list[Path] | None,
        typer.Option(help="A folder with a project's files, which counts as one project; repeatable."),
    ] = None
    file_count: Annotated[int, typer.Option(min=1, help="Number of files.")] = 200
    blocks: Annotated[int, typer.Option(min=1, help="Blocks of lines per file.")] = 2
    per_block: Annotated[int, typer.Option(min=1, help="Places per block.")] = 5
    language: Annotated[
        list[str] | None,
        typer.Option(help="Only files in this language, by its editor id; repeatable. By default all but Markdown."),
    ] = None
    seed: Annotated[int, typer.Option(help="Random seed for files and places.")] = 0


@gate_app.command("collect")
@command
def collect(
    given: Annotated[dict[str, Any], Given("model", "family", "device", "dtype", "context", "max_tokens")],
    where: PlaceOptions,
    out: Annotated[Path, typer.Option(help="File that the answers are appended to, each as soon as it is there.")],
    excerpts: Annotated[
        int, typer.Option(min=0, help="Most characters that the model is shown of a project's other files.")
    ] = 0,
) -> None:
    """Ask a model where somebody would have typed, and keep the answers with what was written there."""
    configure_libraries()
    from lacuna_lab.commands import gate
    from lacuna_lab.gate.places import PlacePlan

    plan = PlacePlan(
        tuple(where.files or ()), where.file_count, where.blocks, where.per_block, tuple(where.language or ()),
        where.seed,
    )  # fmt: skip
    gate.collect(settings_module.load(**given), plan, out, excerpts)


@gate_app.command("fit")
def fit(
    files: AnswerFiles,
    write: Annotated[Path | None, typer.Option(help="Also write the coefficients to this TOML file.")] = None,
) -> None:
    """Fit the chance of being right to answers, for each model in them, and judge it on other projects' answers."""
    from lacuna_lab.commands import gate

    gate.fit(files, write)


@gate_app.command("judge")
def judge(files: AnswerFiles, json: Json = False) -> None:
    """Judge the coefficients that Lacuna uses on answers, best on such that they were not fitted to."""
    from lacuna_lab.commands import gate

    gate.judge(files, json)
