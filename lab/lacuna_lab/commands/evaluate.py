"""`lacuna eval`: evaluates models and the n-gram copier on the same holes, and prints one table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.markdown import Markdown

from lacuna_inference.api import ModelOptions
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.prompt.families import Layout
from lacuna_lab.evaluation import chart, files, report, run
from lacuna_lab.evaluation.files import SourceFile
from lacuna_lab.evaluation.holes import SINGLE_LINE, EvaluationHole
from lacuna_lab.evaluation.worker_pool import worker_pool
from lacuna_server.commands.show import progress, stderr, stdout, wait_until_warm
from lacuna_server.settings import Settings, load

if TYPE_CHECKING:
    from lacuna_inference.engine.assemble import LoadedModel

T = TypeVar("T")
COPIER = "n-gram copier"


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """Which holes are filled, and how. Without `paths` it is held-out files.

    With `both_layouts` each model has its prompts laid out in both ways. `processes` on a CPU each load the model. With
    `single_line` only holes within one line are filled, and the files are not read for bits per byte.
    """

    paths: tuple[Path, ...]
    file_count: int
    per_file: int
    seed: int = 0
    both_layouts: bool = False
    processes: int = 1
    single_line: bool = False


def evaluate(
    settings: Settings, also: Sequence[str], plan: EvaluationPlan, as_json: bool, chart_file: Path | None = None
) -> None:
    """Fills the same holes with the settings' model, each model of `also`, and the copier."""
    if chart_file is not None:
        chart.check(chart_file)
    models = validated_models(settings, also)
    count, seed = plan.file_count, plan.seed
    sources = files.from_paths(list(plan.paths), count, seed) if plan.paths else files.held_out(count, seed)
    holes = run.holes(sources, plan.per_file, seed)
    if plan.single_line:
        holes = [hole for hole in holes if hole.kind in SINGLE_LINE]
    groups = sorted({source.group for source in sources})
    stderr.print(f"{len(holes)} holes in {len(sources)} files of {', '.join(groups)}")
    scores = {COPIER: _with_progress(COPIER, len(holes), run.scores(holes, run.by_copier))}
    bits: dict[str, float] = {}
    for model in models:
        judged, of_model = _evaluate(settings, model, holes, sources, plan)
        scores |= judged
        if of_model is not None:
            bits[model] = of_model
    tables = {name: report.rows(found) for name, found in scores.items()}
    if as_json:
        content = {"files": len(sources), "seed": seed, "bits_per_byte": bits, "tables": report.as_json(tables)}
        print(json.dumps(content, indent=1))  # noqa: T201
    elif stdout.is_terminal:
        stdout.print(Markdown(report.markdown(tables)))
    else:
        stdout.print(report.markdown(tables))
    for name, value in bits.items():
        stderr.print(f"{name}: {value:.3f} bits per byte")
    for name, of_name in scores.items():
        stderr.print(
            f"{name}: the end of single-line holes is found in {report.percent(report.end_found_single_line(of_name))}"
        )
    if chart_file is not None:
        chart.draw(tables, chart_file)


def evaluate_folder(folder: Path, also: Sequence[str], plan: EvaluationPlan) -> None:
    """As `evaluate`, for the model in `folder` with the default settings."""
    evaluate(load(model=str(folder)), also, plan, as_json=False)


def validated_models(settings: Settings, also: Sequence[str]) -> list[str]:
    """The settings' model and those of `also`, each once. Raises for one that cannot be read, before any is judged."""
    from lacuna_inference.models import loader

    models = list(dict.fromkeys([settings.model, *also]))
    for model in models:
        loader.validate(settings.model_copy(update={"model": model}).model_options())
    return models


def _evaluate(
    settings: Settings,
    model: str,
    holes: Sequence[EvaluationHole],
    sources: Sequence[SourceFile],
    plan: EvaluationPlan,
) -> tuple[dict[str, list[run.Score]], float | None]:
    """Scores of the holes by name, and bits per byte over all files, scored from left to right, if they are."""
    from lacuna_inference.engine import assemble

    options = settings.model_copy(update={"model": model}).model_options()
    loaded = assemble.load_model(options, lambda *_: None)
    layouts = (
        {f"{model}, {layout}": layout for layout in Layout} if plan.both_layouts else {model: loaded.decoder.layout}
    )
    with worker_pool(options, plan.processes) if plan.processes > 1 else nullcontext() as pool:
        read_files = [] if plan.single_line else sources
        read = pool.bits(read_files) if pool else _bits(loaded, read_files)
        bits = sum(_with_progress(f"{model}: reading", len(read_files), read))
        found = {}
        for name, layout in layouts.items():
            scores = (
                pool.scores(holes, layout, settings.max_tokens)
                if pool
                else _scores(options, loaded, layout, holes, settings.max_tokens)
            )
            found[name] = _with_progress(name, len(holes), scores)
    return found, None if plan.single_line else bits / sum(len(source.text.encode()) for source in sources)


def _scores(
    options: ModelOptions, loaded: LoadedModel, layout: Layout, holes: Sequence[EvaluationHole], max_tokens: int
) -> Iterator[run.Score]:
    """Scores of a model that is loaded in this process."""
    with_layout = replace(loaded, decoder=replace(loaded.decoder, layout=layout))
    engine = ModelEngine(options, lambda *_: with_layout)
    try:
        wait_until_warm(engine)
        yield from run.scores(holes, run.by_engine(engine, max_tokens))
    finally:
        engine.close()


def _bits(loaded: LoadedModel, sources: Sequence[SourceFile]) -> Iterator[float]:
    from lacuna_lab.evaluation.scoring import Scorer

    scorer = Scorer(loaded)
    for source in sources:
        yield scorer.bits(source.text, source.name)


def _with_progress(title: str, count: int, results: Iterable[T]) -> list[T]:
    """Collects the `count` results while showing a progress bar."""
    collected = []
    with progress(title) as bar:
        for number, result in enumerate(results, 1):
            collected.append(result)
            bar.update(bar.task_ids[0], completed=number / count, description=f"{title}: {number} of {count}")
    return collected
