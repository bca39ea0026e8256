"""The commands that judge models: `lacuna eval`, `resources` and `precision`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lacuna_inference.errors import BadRequest
from lacuna_inference.models.loading.sources import configure_libraries
from lacuna_lab.evaluation.other_files import ContextSource
from lacuna_server import settings as settings_module
from lacuna_server.cli_options import Given, Json, command

BUDGET = 1600
"""Characters of excerpts: about as many as fit a quarter of a context of 2,048 tokens."""

lab_app = typer.Typer()
"""Has no name: its commands are at the top level, like those of `cli.py`."""


@dataclass(frozen=True, slots=True)
class HoleOptions:
    """The holes for the evaluation."""

    files: Annotated[list[Path] | None, typer.Option(help="Evaluate on these files or folders instead.")] = None
    file_count: Annotated[int, typer.Option(min=1, help="Number of files.")] = 60
    per_file: Annotated[int, typer.Option(min=1, help="Holes of each kind per file.")] = 4
    seed: Annotated[int, typer.Option(help="Random seed for files and holes.")] = 0
    chart: Annotated[Path | None, typer.Option(help="Also plot exact match to this PNG file.")] = None
    layout: Annotated[bool, typer.Option("--layout", help="Use both prompt layouts, anchored and canonical.")] = False
    processes: Annotated[
        int,
        typer.Option(min=1, help="Parallel processes on a CPU, each with its own copy of the model."),
    ] = 1
    single_line: Annotated[
        bool, typer.Option("--single-line", help="Only holes within one line, and no bits per byte.")
    ] = False


@dataclass(frozen=True, slots=True)
class ProblemOptions:
    """A published benchmark to evaluate on instead."""

    problems: Annotated[
        Path | None, typer.Option(help="Evaluate on HumanEval or HumanEval-Infilling: its .jsonl or .jsonl.gz file.")
    ] = None
    problem_count: Annotated[
        int | None, typer.Option(min=1, help="With --problems: use only the first problems, this many.")
    ] = None
    samples: Annotated[int, typer.Option(min=1, max=200, help="With --problems: answers per problem, for pass@k.")] = 1
    execute: Annotated[
        bool, typer.Option("--execute", help="With --problems: run what the model writes, and score pass@k.")
    ] = False


@dataclass(frozen=True, slots=True)
class OtherFilesOptions:
    """Holes before names that other files define."""

    other_files: Annotated[
        list[Path] | None,
        typer.Option(
            help="Measure what excerpts of other files add, before names in this project folder that another of its "
            "files defines; repeatable."
        ),
    ] = None
    excerpts: Annotated[
        int, typer.Option(min=1, help="With --other-files: most characters of the excerpts for a hole.")
    ] = BUDGET
    show: Annotated[
        ContextSource,
        typer.Option(
            help="With --other-files: what the language server shows, or only passages like the code, or only what "
            "the code refers to."
        ),
    ] = "served"
    lines: Annotated[
        int | None,
        typer.Option(min=1, help="With --other-files: show only the file's head and this many lines before a hole."),
    ] = None
    answers: Annotated[
        Path | None, typer.Option(help="With --other-files: write all answers, with your code, to this file.")
    ] = None


@lab_app.command("eval")
@command
def evaluate(
    holes: HoleOptions,
    benchmark: ProblemOptions,
    elsewhere: OtherFilesOptions,
    given: Annotated[dict[str, Any], Given("model", "family", "device", "dtype", "context", "max_tokens")],
    also: Annotated[
        list[str] | None, typer.Option(help="Another model to evaluate on the same holes; repeatable.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure how well a model fills holes in unseen code, compared with copying from the file without a model."""
    configure_libraries()
    if elsewhere.other_files:
        _evaluate_other_files(elsewhere, holes, benchmark, settings_module.load(**given), also or [], json)
        return
    if elsewhere != OtherFilesOptions():
        raise BadRequest(
            "--excerpts, --show, --lines and --answers belong to projects.", "Name them with --other-files."
        )
    if benchmark.problems is None:
        _evaluate(holes, benchmark, settings_module.load(**given), also or [], json)
        return
    if holes.files or holes.chart or holes.layout or holes.processes > 1 or holes.single_line:
        raise BadRequest(
            "--files, --chart, --layout, --processes and --single-line cannot be used with --problems.",
            "Omit one of them.",
        )
    from lacuna_lab.commands import problems
    from lacuna_lab.evaluation.problems import MAX_TOKENS

    settings = settings_module.load(**{**given, "max_tokens": given["max_tokens"] or MAX_TOKENS})
    chosen = problems.ProblemPlan(benchmark.problems, benchmark.samples, benchmark.problem_count, benchmark.execute)
    problems.judge(settings, also or [], chosen, json)


def _evaluate(
    holes: HoleOptions, benchmark: ProblemOptions, settings: settings_module.Settings, also: list[str], json: bool
) -> None:
    if benchmark.execute or benchmark.samples > 1 or benchmark.problem_count is not None:
        raise BadRequest("--execute, --samples and --problem-count belong to a benchmark.", "Name it with --problems.")
    from lacuna_lab.commands import evaluate

    plan = evaluate.EvaluationPlan(
        tuple(holes.files or ()),
        holes.file_count,
        holes.per_file,
        holes.seed,
        holes.layout,
        holes.processes,
        holes.single_line,
    )
    evaluate.evaluate(settings, also, plan, json, holes.chart)


def _evaluate_other_files(
    elsewhere: OtherFilesOptions,
    holes: HoleOptions,
    benchmark: ProblemOptions,
    settings: settings_module.Settings,
    also: list[str],
    json: bool,
) -> None:
    if benchmark != ProblemOptions() or holes != HoleOptions(
        file_count=holes.file_count, per_file=holes.per_file, seed=holes.seed
    ):
        raise BadRequest(
            "Of the other options for holes, --other-files takes --file-count, --per-file and --seed only.",
            "Omit the others.",
        )
    from lacuna_lab.commands import other_files
    from lacuna_lab.evaluation.other_files.fill import ShowOptions

    plan = other_files.OtherFilesPlan(
        tuple(elsewhere.other_files or ()), holes.file_count, holes.per_file, holes.seed,
        ShowOptions(elsewhere.show, elsewhere.excerpts, elsewhere.lines), elsewhere.answers,
    )  # fmt: skip
    other_files.judge(settings, also, plan, json)


@lab_app.command()
def resources(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="bundled, a model folder, a config.json, a hub id, or a published shape (CodeGen-6B)."),
    ] = None,
    gpu: Annotated[list[str] | None, typer.Option(help="Also check a card of this size (16GB); repeatable.")] = None,
    context: Annotated[int | None, typer.Option(min=32, help="Tokens of context; the model's own by default.")] = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Load the model, generate, and compare the measured needs with the estimate."),
    ] = False,
    dtypes: Annotated[
        list[str] | None, typer.Option("--dtype", help="What to measure: fp32, fp16, bf16, int8, int4; repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to measure: auto, cpu, cuda, cuda:N.")] = "auto",
    json: Json = False,
) -> None:
    """Estimate from a model's config how much memory it needs, whether it fits, and with how much context."""
    configure_libraries()
    from lacuna_lab.commands import resources as resources_command

    options = resources_command.ResourcesOptions(context, gpu or [], measure, dtypes or [], device)
    resources_command.run(models or ["bundled"], options, json)


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """What a study of precision compares."""

    reference: Annotated[str, typer.Option(help="Dtype that the others are compared with.")] = "fp32"
    test: Annotated[str, typer.Option(help="Dtypes to measure, separated by commas.")] = "fp16,bf16,int8,int4"
    text: Annotated[list[Path] | None, typer.Option(help="Your own files or folders instead of held-out code.")] = None
    tokens: Annotated[int, typer.Option(min=16, help="Positions whose distributions are compared.")] = 8192
    holes: Annotated[int, typer.Option(min=0, help="Suggestions that are compared; 0 for none.")] = 200
    seed: Annotated[int, typer.Option(help="Random seed for files and holes.")] = 0
    speed: Annotated[bool, typer.Option(help="Also measure the speed of each dtype.")] = True
    out: Annotated[Path | None, typer.Option(help="Also write the report, JSON and charts to this folder.")] = None
    work: Annotated[Path | None, typer.Option(help="Folder for the reference's logits during the study.")] = None
    keep: Annotated[bool, typer.Option("--keep", help="Keep these logits, to measure other dtypes later.")] = False


@lab_app.command()
@command
def precision(
    study: StudyOptions,
    given: Annotated[dict[str, Any], Given("family", "device", "context", "max_tokens")],
    model: Annotated[
        str | None, typer.Argument(help="bundled, a model folder, a hub id, or a published shape (CodeGen-350M).")
    ] = None,
    json: Json = False,
) -> None:
    """Measure how much accuracy half precision and quantized weights cost, with a verdict for each."""
    configure_libraries()
    from lacuna_lab.commands import precision as precision_command

    settings = settings_module.load(model=model, **given)
    options = precision_command.PrecisionOptions(
        study.reference, study.test, study.text or [], study.tokens, study.holes, study.seed, study.speed,
        study.out, study.work, study.keep,
    )  # fmt: skip
    precision_command.run(settings, options, json)
