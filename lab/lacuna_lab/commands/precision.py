"""`lacuna precision`: measures what dtypes cost in accuracy, prints the report, and writes it with charts."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from lacuna_inference.api import ModelOptions
from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_inference.models.loading import sources
from lacuna_lab import random_models
from lacuna_lab.precision import charts, report, study, variants
from lacuna_lab.precision.questions import Questions, questions
from lacuna_lab.precision.study_dir import StudyDir, fingerprint
from lacuna_server.commands.show import progress, stderr
from lacuna_server.settings import Settings

NAME = "precision"
"""Of the files that are written."""


@dataclass(frozen=True, slots=True)
class PrecisionOptions:
    """What is asked: dtypes as lists with commas, text of the user's own, sizes, where to write and to work."""

    reference: str
    tests: str
    text: Sequence[Path]
    tokens: int
    holes: int
    seed: int
    speed: bool
    out: Path | None
    work: Path | None
    keep: bool


def run(settings: Settings, wanted: PrecisionOptions, as_json: bool) -> None:
    """Prints the report. Raises a LacunaError before measuring when something is missing or cannot be written."""
    reference, *more = variants.named(wanted.reference)
    if more:
        raise BadRequest("There is one reference.", "For example: --reference fp32.")
    tests = tuple(dtype for dtype in variants.named(wanted.tests) if dtype != reference)
    if not tests:
        raise BadRequest("Nothing differs from the reference.", "For example: --test fp16,bf16.")
    if wanted.out is not None:
        _prepare(wanted.out)
    options, made = _options(settings, reference, wanted.work)
    asked = questions(options, wanted.text, wanted.tokens, wanted.holes, wanted.seed)
    random_weights = random_models.is_random(asked.folder.config)
    planned = study.Study(
        _name(asked), options, reference, tests, asked, settings.max_tokens, wanted.speed, random_weights
    )
    place = StudyDir(_fingerprint(planned, asked), wanted.work)
    stderr.print(f"working in {place.folder}: broken off, the same command goes on there")
    with progress("loading") as bar:
        task = bar.task_ids[0]
        result = study.conduct(
            planned, place, lambda doing, share: bar.update(task, description=doing, completed=share)
        )
    date = dt.datetime.now(tz=dt.UTC).date().isoformat()
    lines = list(report.markdown(planned, result, date, charts.FILES if wanted.out else ()))
    found = report.plain(planned, result, date)
    if wanted.out is not None:
        _write(wanted.out, lines, json.dumps(found, indent=1))
        charts.draw(f"{report.title(planned)}, against {reference}", result.found, wanted.out)
    print(json.dumps(found, indent=1) if as_json else "\n".join(lines))  # noqa: T201
    if not wanted.keep:
        place.remove()
        if made is not None:
            made.remove()


def _options(settings: Settings, reference: str, work: Path | None) -> tuple[ModelOptions, StudyDir | None]:
    """The model's options, and the place of a model that had to be made: of a published shape, with random weights."""
    options = settings.model_options()
    try:
        sources.find(options.model, options.revision)
    except LacunaError:
        shape = random_models.known(options.model)
        if shape is None:
            raise
        place = StudyDir(f"random-{fingerprint(shape, reference)}", work)
        model = place.folder / shape
        if not random_models.is_whole(model):
            stderr.print(f"{shape} is not on this disk: random weights of its shape are written and studied")
            model.mkdir(exist_ok=True)
            with progress(f"writing {shape}") as bar:
                task = bar.task_ids[0]
                random_models.write(shape, model, _stored(reference), lambda share: bar.update(task, completed=share))
        return settings.model_copy(update={"model": str(model)}).model_options(), place
    return options, None


def _name(asked: Questions) -> str:
    """What the user called it; of a folder only its last part."""
    return asked.folder.name if "/" not in asked.folder.name.strip("./~") else Path(asked.folder.name).name


def _stored(reference: str) -> torch.dtype:
    computed = variants.options(ModelOptions(), reference).dtype
    stored: torch.dtype = getattr(torch, computed)
    return stored


def _fingerprint(planned: study.Study, asked: Questions) -> str:
    """Of everything that decides what is found, but the rivals: their results have names of their own."""
    files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in asked.folder.weight_files]
    holes = [(hole.kind, hole.prefix, hole.suffix) for hole in asked.holes]
    windows = [(window.ids, window.first) for window in asked.windows]
    return fingerprint(
        asked.folder.config, files, windows, holes, planned.reference, planned.max_tokens, asdict(planned.options)
    )


def _prepare(folder: Path) -> None:
    """Makes `folder`. Raises BadRequest when it cannot be written, or no chart could be drawn."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(f"{folder} cannot be made: {error.strerror or error}.", "Name another folder.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadRequest(f"{folder} cannot be written.", "Name another folder.")
    charts.check(folder / charts.FILES[0])


def _write(folder: Path, lines: Sequence[str], plain: str) -> None:
    try:
        (folder / f"{NAME}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / f"{NAME}.json").write_text(plain + "\n", encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"{folder} cannot be written: {error.strerror or error}.", "Name another folder.") from error
    stderr.print(f"written: {folder / NAME}.md, .json and three charts")
