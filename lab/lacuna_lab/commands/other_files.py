"""`lacuna eval --other-files`: fills holes without and with excerpts of other files, and prints one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.markdown import Markdown

from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.errors import BadRequest
from lacuna_lab.commands.evaluate import validated_models
from lacuna_lab.evaluation.other_files import cut, fill, projects, summary
from lacuna_lab.evaluation.other_files.cut import NamedHole
from lacuna_lab.evaluation.other_files.fill import Pair, ShowOptions
from lacuna_server.commands.show import progress, stderr, stdout, wait_until_warm
from lacuna_server.settings import Settings


@dataclass(frozen=True, slots=True)
class OtherFilesPlan:
    """Which holes are filled: at most `per_file` in each of `files` files below the `folders`.

    Every answer is written to `answers`, a file with a line of JSON for each hole.
    """

    folders: tuple[Path, ...]
    files: int
    per_file: int
    seed: int
    show: ShowOptions
    answers: Path | None = None


def judge(settings: Settings, also: Sequence[str], plan: OtherFilesPlan, as_json: bool) -> None:
    """Fills the holes with every model. Raises BadRequest where there are none."""
    models = validated_models(settings, also)
    read = [projects.read(folder) for folder in plan.folders]
    holes = cut.holes(read, plan.files, plan.per_file, plan.seed)
    if not holes:
        raise BadRequest("No line there uses what only another file defines.", "Name other folders.")
    stderr.print(f"{len(holes)} holes in {len({hole.path for hole in holes})} files of {len(read)} projects")
    pairs = {model: _pairs(settings, model, holes, plan) for model in models}
    if plan.answers is not None:
        _write(pairs, plan.answers)
    tables = {model: summary.rows(found, plan.show.budget) for model, found in pairs.items()}
    if as_json:
        content = {"seed": plan.seed, **asdict(plan.show), "tables": summary.as_json(tables)}
        print(json.dumps(content, indent=1))  # noqa: T201
        return
    table = summary.markdown(tables)
    stdout.print(Markdown(table) if stdout.is_terminal else table)


def _pairs(settings: Settings, model: str, holes: Sequence[NamedHole], plan: OtherFilesPlan) -> list[Pair]:
    engine = ModelEngine(settings.model_copy(update={"model": model}).model_options())
    try:
        wait_until_warm(engine)
        found = []
        with progress(model) as bar:
            for number, hole in enumerate(holes, 1):
                found.append(fill.fill(hole, engine, settings.max_tokens, plan.show))
                description = f"{model}: {number} of {len(holes)}"
                bar.update(bar.task_ids[0], completed=number / len(holes), description=description)
        return found
    finally:
        engine.close()


def _write(pairs: dict[str, list[Pair]], file: Path) -> None:
    lines = [json.dumps({"model": model, **asdict(pair)}) for model, found in pairs.items() for pair in found]
    try:
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"{file} cannot be written: {error.strerror or error}.", "Name another file.") from error
