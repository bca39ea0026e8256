"""`lacuna bench accelerations`: measures, prints a table or JSON, and writes both with a chart to a folder."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lacuna_inference.api import ModelOptions
from lacuna_inference.errors import BadRequest
from lacuna_server.commands.show import stderr
from lacuna_server.settings import Settings

if TYPE_CHECKING:
    from lacuna_lab.bench.accelerations import AccelerationRow
    from lacuna_lab.bench.accelerations_table import About
    from lacuna_lab.bench.typing_trace import TypingTrace

NAME = "accelerations"
"""Base name of the files that are written."""
_RANDOM = "RANDOM_WEIGHTS"
"""Marker file in the folder of a model whose weights are random."""
_RUNS = 4
"""Runs of lines that are typed into a file; sessions end before they are complete."""


@dataclass(frozen=True, slots=True)
class AccelerationsPlan:
    """The number of files to type into, keystrokes after which a session ends, repeats of each session, and whether
    torch.compile is measured as well."""

    files: int
    keys: int
    seed: int
    repeats: int
    compiles: bool


def run(settings: Settings, plan: AccelerationsPlan, folder: Path | None, as_json: bool) -> None:
    """Measures and prints. Raises a LacunaError before measuring if the results could not be written."""
    if folder is not None:
        _prepare(folder)
    from lacuna_lab.bench import accelerations_table

    rows, about = _measured(settings, plan)
    content = {**asdict(about), "rows": [asdict(row) for row in rows]}
    lines = list(accelerations_table.table(rows, about))
    if folder is not None:
        _write(folder, content, lines, rows, about)
    print(json.dumps(content, indent=1) if as_json else "\n".join(lines))  # noqa: T201


def _measured(settings: Settings, plan: AccelerationsPlan) -> tuple[list[AccelerationRow], About]:
    from lacuna_lab.bench import accelerations, accelerations_crowd
    from lacuna_lab.bench.accelerations_models import Models
    from lacuna_lab.bench.accelerations_steps import base_and_everything, setups, steps
    from lacuna_lab.bench.accelerations_table import About

    options = settings.model_options()
    sessions = _sessions(plan.files, plan.seed)
    loads = [accelerations.typing_load(session, plan.keys, settings.max_tokens) for session in sessions]
    models = Models(options, plan.compiles, stderr.print)
    all_steps = steps(models.why_not)
    contestants = {setup: models.contestant(setup) for setup in setups(all_steps)}
    measured = accelerations.measure(contestants, loads, plan.repeats, stderr.print)
    rows = accelerations.rows(all_steps, measured, loads, models)
    crowd = [
        accelerations.typing_load(session, plan.keys, settings.max_tokens, f"{number}/")
        for number, session in enumerate(_sessions(accelerations_crowd.USERS, plan.seed))
    ]
    stderr.print(f"{len(crowd)} users")
    rows += accelerations_crowd.rows(models, base_and_everything(models.why_not)[1], crowd)
    keys = sum(len(load.requests) for load in loads)
    base = models.base
    about = About(
        model=base.name,
        random_weights=_is_random(options),
        device=base.device,
        dtype=base.dtype,
        sessions=len(loads),
        keys=keys,
        max_tokens=settings.max_tokens,
        seed=plan.seed,
    )
    return rows, about


def _sessions(count: int, seed: int) -> list[TypingTrace]:
    from lacuna_lab.bench import typing_trace
    from lacuna_lab.evaluation import files

    rng = random.Random(seed)
    return [typing_trace.typing_trace(file, _RUNS, rng) for file in files.held_out(count, seed)]


def _is_random(options: ModelOptions) -> bool:
    from lacuna_inference.models.loading import sources
    from lacuna_lab import random_models

    folder = sources.find(options.model, options.revision)
    return random_models.is_random(folder.config) or (folder.path / _RANDOM).exists()


def _prepare(folder: Path) -> None:
    """Creates `folder`. Raises BadRequest if it cannot be written to, or no chart could be drawn."""
    from lacuna_lab.bench import accelerations_chart

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(f"{folder} cannot be created: {error.strerror or error}.", "Name another folder.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadRequest(f"{folder} cannot be written to.", "Name another folder.")
    accelerations_chart.check(folder / f"{NAME}.png")


def _write(
    folder: Path, content: dict[str, Any], lines: Sequence[str], rows: Sequence[AccelerationRow], about: About
) -> None:
    from lacuna_lab.bench import accelerations_chart

    try:
        (folder / f"{NAME}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / f"{NAME}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BadRequest(
            f"{folder} cannot be written to: {error.strerror or error}.", "Name another folder."
        ) from error
    accelerations_chart.draw(rows, about, folder / f"{NAME}.png")
    stderr.print(f"wrote {folder / NAME}.md, .json and .png")
