"""`lacuna precision`: measures the accuracy cost of dtypes, prints the report, and writes it with charts."""

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
"""Base name of the files that are written."""


@dataclass(frozen=True, slots=True)
class PrecisionOptions:
    """The options of the command. `reference` and `tests` are comma-separated dtypes; `out` and `work` are folders."""

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
    """Prints the report. Raises a LacunaError before measuring if something is missing or cannot be written."""
    reference, *more = variants.parse_dtypes(wanted.reference)
    if more:
        raise BadRequest("There can be only one reference.", "For example: --reference fp32.")
    tests = tuple(dtype for dtype in variants.parse_dtypes(wanted.tests) if dtype != reference)
    if not tests:
        raise BadRequest("Nothing differs from the reference.", "For example: --test fp16,bf16.")
    if wanted.out is not None:
        _prepare(wanted.out)
    options, random_model_dir = _options(settings, reference, wanted.work)
    inputs = questions(options, wanted.text, wanted.tokens, wanted.holes, wanted.seed)
    random_weights = random_models.is_random(inputs.folder.config)
    planned = study.Study(
        _name(inputs), options, reference, tests, inputs, settings.max_tokens, wanted.speed, random_weights
    )
    study_dir = StudyDir(_fingerprint(planned, inputs), wanted.work)
    stderr.print(f"working in {study_dir.folder}: if interrupted, the same command resumes there")
    with progress("loading") as bar:
        task = bar.task_ids[0]
        result = study.run(planned, study_dir, lambda text, share: bar.update(task, description=text, completed=share))
    date = dt.datetime.now(tz=dt.UTC).date().isoformat()
    lines = list(report.markdown(planned, result, date, charts.FILES if wanted.out else ()))
    content = report.plain(planned, result, date)
    if wanted.out is not None:
        _write(wanted.out, lines, json.dumps(content, indent=1))
        charts.draw(f"{report.title(planned)}, against {reference}", result.found, wanted.out)
    print(json.dumps(content, indent=1) if as_json else "\n".join(lines))  # noqa: T201
    if not wanted.keep:
        study_dir.remove()
        if random_model_dir is not None:
            random_model_dir.remove()


def _options(settings: Settings, reference: str, work: Path | None) -> tuple[ModelOptions, StudyDir | None]:
    """The model's options, and the folder of a random model that was written for a published shape, if any."""
    options = settings.model_options()
    try:
        sources.find(options.model, options.revision)
    except LacunaError:
        shape = random_models.shape_of(options.model)
        if shape is None:
            raise
        study_dir = StudyDir(f"random-{fingerprint(shape, reference)}", work)
        model = study_dir.folder / shape
        if not random_models.is_complete(model):
            stderr.print(f"{shape} is not on this disk: writing random weights of its shape to study instead")
            model.mkdir(exist_ok=True)
            with progress(f"writing {shape}") as bar:
                task = bar.task_ids[0]
                random_models.write(
                    shape, model, _stored_dtype(reference), lambda share: bar.update(task, completed=share)
                )
        return settings.model_copy(update={"model": str(model)}).model_options(), study_dir
    return options, None


def _name(inputs: Questions) -> str:
    """The name that the user gave; for a path only its last component."""
    return inputs.folder.name if "/" not in inputs.folder.name.strip("./~") else Path(inputs.folder.name).name


def _stored_dtype(reference: str) -> torch.dtype:
    name = variants.options(ModelOptions(), reference).dtype
    stored: torch.dtype = getattr(torch, name)
    return stored


def _fingerprint(planned: study.Study, inputs: Questions) -> str:
    """A hash of everything that affects the results except the tested dtypes, whose results have their own names."""
    files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in inputs.folder.weight_files]
    holes = [(hole.kind, hole.prefix, hole.suffix) for hole in inputs.holes]
    windows = [(window.ids, window.first) for window in inputs.windows]
    return fingerprint(
        inputs.folder.config, files, windows, holes, planned.reference, planned.max_tokens, asdict(planned.options)
    )


def _prepare(folder: Path) -> None:
    """Creates `folder`. Raises BadRequest if it cannot be written to, or no chart could be drawn."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(f"{folder} cannot be created: {error.strerror or error}.", "Name another folder.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadRequest(f"{folder} cannot be written to.", "Name another folder.")
    charts.check(folder / charts.FILES[0])


def _write(folder: Path, lines: Sequence[str], plain: str) -> None:
    try:
        (folder / f"{NAME}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / f"{NAME}.json").write_text(plain + "\n", encoding="utf-8")
    except OSError as error:
        raise BadRequest(
            f"{folder} cannot be written to: {error.strerror or error}.", "Name another folder."
        ) from error
    stderr.print(f"wrote {folder / NAME}.md, .json and three charts")
