"""Published benchmarks: HumanEval (Chen et al., 2021, arXiv 2107.03374) and HumanEval-Infilling (Bavarian et al., 2022,
arXiv 2207.14255), from their JSONL files, which the user names; nothing is downloaded."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import Any

from lacuna_inference.api import Engine, Request, Sampling, Stop
from lacuna_inference.errors import BadRequest
from lacuna_lab.evaluation.metrics import Interval, bootstrap, edit_similarity

MAX_TOKENS = 256
"""Default length limit of an answer: most of HumanEval's functions are shorter."""
_ORIGIN = re.compile(r"HumanEval/\d+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One task. `suffix` is None where the benchmark completes from left to right."""

    task: str
    prefix: str
    suffix: str | None
    truth: str
    test: str
    entry_point: str

    @property
    def is_single_line(self) -> bool:
        """Whether exactly one line is missing: published harnesses then take the first line of an answer."""
        return self.task.startswith("SingleLine")

    def program(self, answer: str) -> str:
        """A program that fails unless `answer` solves the task. An answer that replaces whole lines gets a line end."""
        if self.truth.endswith("\n") and not answer.endswith("\n"):
            answer += "\n"
        return f"{self.prefix}{answer}{self.suffix or ''}\n{self.test}\ncheck({self.entry_point})\n"


@dataclass(frozen=True, slots=True)
class ProblemResult:
    """The answers to one problem, the first of them scored; `passed` says for each whether its tests passed."""

    task: str
    answers: tuple[str, ...]
    exact: bool
    similarity: float
    passed: tuple[bool, ...] | None = None


def read(path: Path) -> list[Problem]:
    """The problems of a .jsonl or .jsonl.gz file. Raises BadRequest for any other content."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            found = [_problem(json.loads(line)) for line in file if line.strip()]
    except OSError as error:
        raise BadRequest(
            f"{path} cannot be read: {error.strerror or error}.", "Name a .jsonl or .jsonl.gz file."
        ) from error
    except (ValueError, KeyError, TypeError, EOFError, zlib.error) as error:
        raise BadRequest(
            f"{path} is not a HumanEval or HumanEval-Infilling file ({type(error).__name__}: {error}).",
            "Name a published one: every line has task_id, prompt, canonical_solution, test and entry_point.",
        ) from error
    if not found:
        raise BadRequest(f"{path} has no problems.", "Name a published .jsonl file.")
    return found


def answer(engine: Engine, problem: Problem, max_tokens: int, samples: int, temperature: float) -> ProblemResult:
    """Requests `samples` answers: a single one greedily, several at `temperature`, each with its own seed.

    A left-to-right answer ends before the first line without indentation, one for a single line with the line, and any
    other infill where the model ends it.
    """
    left_to_right = problem.suffix is None
    stop = Stop(max_tokens, single_line=problem.is_single_line, dedent_below=1 if left_to_right else None)
    parts = (problem.prefix,) if problem.suffix is None else (problem.prefix, problem.suffix)
    answers = []
    for number in range(samples):
        sampling = Sampling(temperature if samples > 1 else 0.0, 0.95, seed=number)
        answers.append(engine.submit(Request(parts, "main.py", stop, sampling)).result().candidates[0].text)
    first = answers[0].rstrip()
    truth = problem.truth.rstrip()
    return ProblemResult(problem.task, tuple(answers), first == truth, edit_similarity(first, truth))


def pass_at(k: int, results: Sequence[ProblemResult]) -> Interval:
    """The unbiased estimate of the share of problems that one of `k` answers solves, as HumanEval's authors define it.

    Raises ValueError when a problem has fewer than `k` executed answers.
    """
    values = []
    for result in results:
        n, right = len(result.passed or ()), sum(result.passed or ())
        if n < k:
            raise ValueError(f"{result.task} has {n} answers, {k} are needed")
        values.append((_origin(result), 1 - comb(n - right, k) / comb(n, k)))
    return bootstrap(values)


def exact_match(results: Sequence[ProblemResult]) -> Interval:
    """Share of problems whose first answer is the published solution, ignoring trailing whitespace."""
    return bootstrap([(_origin(result), float(result.exact)) for result in results])


def similarity(results: Sequence[ProblemResult]) -> Interval:
    """Mean edit similarity of the first answers."""
    return bootstrap([(_origin(result), result.similarity) for result in results])


def _origin(result: ProblemResult) -> str:
    """The HumanEval function that the task was cut from: holes of one function depend on each other."""
    found = _ORIGIN.search(result.task)
    return found[0] if found else result.task


def _problem(record: dict[str, Any]) -> Problem:
    names = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
    task, prefix, truth, test, entry_point = (_text(record, name) for name in names)
    suffix = _text(record, "suffix") if "suffix" in record else None
    return Problem(task, prefix, suffix, truth, test, entry_point)


def _text(record: dict[str, Any], name: str) -> str:
    value = record[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is not a string")
    return value
