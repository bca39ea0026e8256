"""`lacuna gate`: collects answers, fits the coefficients of the gate to them, and judges them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.markdown import Markdown

from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.errors import BadRequest
from lacuna_lab.gate import answers, places, report
from lacuna_lab.gate import fit as fitting
from lacuna_lab.gate.judged import JudgedAnswer, judged, shown_at
from lacuna_lab.gate.other_files import OtherFiles
from lacuna_lab.gate.places import PlacePlan
from lacuna_server.commands.show import progress, stderr, stdout, wait_until_warm
from lacuna_server.core.gate import DEFAULT, coefficients_for
from lacuna_server.core.service import Policy
from lacuna_server.settings import Settings


def collect(settings: Settings, plan: PlacePlan, out: Path, excerpts: int = 0) -> None:
    """Appends the answers of the settings' model to `out`. What is there stays, also if this is interrupted.

    The model is shown at most `excerpts` characters of each project's other files. Raises BadRequest without projects.
    """
    if excerpts and not plan.paths:
        raise BadRequest("Other files are shown of named projects only.", "Name their folders with --files.")
    other_files = OtherFiles(plan.paths, excerpts).at if excerpts else lambda _: ()
    engine, policy = ModelEngine(settings.model_options()), Policy(settings.max_tokens, settings.max_lines)
    count = 0
    try:
        wait_until_warm(engine)
        with progress("answers") as bar, out.open("a", encoding="utf-8") as file:
            for count, answer in enumerate(answers.answers(engine, places.places(plan), policy, other_files), 1):
                answers.write(file, answer)
                bar.update(bar.task_ids[0], total=None, description=f"{count} answers, {answer.place.project}")
    except OSError as error:
        raise BadRequest(f"{out} cannot be written: {error.strerror}.", "Name another file with --out.") from None
    finally:
        engine.close()
    stderr.print(f"{count} answers were appended to {out}")


def fit(files: Sequence[Path], write: Path | None) -> None:
    """Prints the coefficients for each model, and how they do on projects that they were not fitted to."""
    of_models = _by_model(files)
    every = [answer for of_model in of_models.values() for answer in of_model]
    for model, found in of_models.items():
        if len({answer.project for answer in found}) < fitting.FOLDS:
            raise BadRequest(
                f"The answers of {model} are of fewer than {fitting.FOLDS} projects.", "Collect more with --files."
            )
    for model, found in {**of_models, "all models together": every}.items():
        _print(report.markdown(model, found, fitting.cross_fitted(found)))
    fits = {model: fitting.fit(found) for model, found in of_models.items()} | {DEFAULT: fitting.fit(every)}
    table = report.toml(fits)
    stdout.print(table)
    if write is not None:
        try:
            write.write_text(table, encoding="utf-8")
        except OSError as error:
            raise BadRequest(f"{write} cannot be written: {error.strerror}.", "Name another file.") from None


def judge(files: Sequence[Path], as_json: bool) -> None:
    """Prints how Lacuna's own coefficients do on these answers."""
    found = {
        model: (of_model, [fitting.chances(answer, coefficients_for(answer.model)) for answer in of_model])
        for model, of_model in _by_model(files).items()
    }
    if as_json:
        content = {
            model: {
                "reliability": asdict(report.reliability(of_model, chances)),
                "shown": [asdict(row) for row in shown_at(of_model, chances)],
            }
            for model, (of_model, chances) in found.items()
        }
        print(json.dumps(content, indent=1))  # noqa: T201
        return
    for model, (of_model, chances) in found.items():
        _print(report.markdown(model, of_model, chances))


def _by_model(files: Sequence[Path]) -> dict[str, list[JudgedAnswer]]:
    """What would be shown without a gate, by the models' names."""
    of_models: dict[str, list[JudgedAnswer]] = {}
    for answer in judged(answers.read(files)):
        of_models.setdefault(report.name_of(answer.model), []).append(answer)
    if not of_models:
        raise BadRequest("Of these answers nothing would be shown.", "Collect others.")
    return of_models


def _print(text: str) -> None:
    stdout.print(Markdown(text) if stdout.is_terminal else text)
