"""`lacuna eval --problems`: HumanEval and HumanEval-Infilling. Generated programs run only with --execute."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.markdown import Markdown

from lacuna_inference.engine.engine import ModelEngine
from lacuna_lab.commands.evaluate import validated_models
from lacuna_lab.evaluation import problems
from lacuna_lab.evaluation.execute import WARNING, check_platform, passes
from lacuna_lab.evaluation.metrics import Interval
from lacuna_lab.evaluation.problems import Problem, ProblemResult
from lacuna_lab.evaluation.report import percent
from lacuna_server.commands.show import progress, stderr, stdout, wait_until_warm
from lacuna_server.settings import Settings

_KS = (1, 10, 100)


@dataclass(frozen=True, slots=True)
class Judged:
    """One model's scores; `pass_at` is empty without --execute."""

    model: str
    problems: int
    exact: Interval
    similarity: Interval
    pass_at: dict[int, Interval]


@dataclass(frozen=True, slots=True)
class ProblemPlan:
    """Which problems are answered: the first `count` of a file, `samples` times each. `execute` runs the answers."""

    path: Path
    samples: int = 1
    count: int | None = None
    execute: bool = False


def judge(settings: Settings, also: Sequence[str], plan: ProblemPlan, as_json: bool) -> None:
    """Answers the problems with every model and prints one table."""
    found, models = problems.read(plan.path)[: plan.count], validated_models(settings, also)
    if plan.execute:
        check_platform()
        stderr.print(WARNING)
    judged = [_judged(settings, model, found, plan.samples, plan.execute) for model in models]
    if as_json:
        print(json.dumps({"file": plan.path.name, "models": [asdict(one) for one in judged]}, indent=1))  # noqa: T201
        return
    table = markdown(judged)
    stdout.print(Markdown(table) if stdout.is_terminal else table)


def markdown(judged: Sequence[Judged]) -> str:
    """A Markdown table with a line for each model."""
    ks = list(judged[0].pass_at)
    heads = ["model", "n", "exact match", "edit similarity", *(f"pass@{k}" for k in ks)]
    lines = [heads, ["---"] * len(heads)]
    for one in judged:
        scores = [one.exact, one.similarity, *(one.pass_at[k] for k in ks)]
        lines.append([one.model, str(one.problems), *map(percent, scores)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _judged(settings: Settings, model: str, found: Sequence[Problem], samples: int, execute: bool) -> Judged:
    engine = ModelEngine(settings.model_copy(update={"model": model}).model_options())
    try:
        wait_until_warm(engine)
        results = _results(engine, settings, model, found, samples, execute)
    finally:
        engine.close()
    pass_at = {k: problems.pass_at(k, results) for k in _KS if k <= samples} if execute else {}
    return Judged(model, len(found), problems.exact_match(results), problems.similarity(results), pass_at)


def _results(
    engine: ModelEngine, settings: Settings, model: str, found: Sequence[Problem], samples: int, execute: bool
) -> list[ProblemResult]:
    results = []
    with progress(model) as bar:
        for number, problem in enumerate(found, 1):
            result = problems.answer(engine, problem, settings.max_tokens, samples, settings.temperature)
            if execute:
                verdicts = tuple(passes(problem.program(answer)) for answer in result.answers)
                result = replace(result, passed=verdicts)
            results.append(result)
            bar.update(bar.task_ids[0], completed=number / len(found), description=f"{model}: {problem.task}")
    return results
