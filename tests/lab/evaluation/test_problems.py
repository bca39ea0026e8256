"""HumanEval's files, pass@k, and the sandbox process for answers."""

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lacuna_inference.api import Stop
from lacuna_inference.engine.fake import FakeEngine
from lacuna_inference.errors import BadRequest
from lacuna_lab.evaluation import problems
from lacuna_lab.evaluation.execute import SandboxLimits, passes
from lacuna_lab.evaluation.problems import ProblemResult

RECORD = {
    "task_id": "SingleLine/1",
    "prompt": "def add(a, b):\n",
    "suffix": "    return c\n",
    "canonical_solution": "    c = a + b\n",
    "test": "def check(f):\n    assert f(1, 2) == 3\n",
    "entry_point": "add",
}
needs_limits = pytest.mark.skipif(sys.platform == "win32", reason="the limits cannot be set there")


def test_infilling_and_left_to_right_files_are_read_compressed_or_not(tmp_path: Path) -> None:
    left_to_right = {name: value for name, value in RECORD.items() if name != "suffix"}
    lines = json.dumps(RECORD) + "\n\n" + json.dumps(left_to_right) + "\n"
    (tmp_path / "a.jsonl").write_text(lines)
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write(lines)
    found = problems.read(tmp_path / "a.jsonl")
    assert found == problems.read(tmp_path / "a.jsonl.gz")
    assert [problem.suffix for problem in found] == ["    return c\n", None]


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"task_id": 1}', "[1]"])
def test_another_file_is_a_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(BadRequest, match=r"a\.jsonl"):
        problems.read(tmp_path / "a.jsonl")
    with pytest.raises(BadRequest, match="cannot be read"):
        problems.read(tmp_path / "none.jsonl")


def test_the_published_solution_is_an_exact_match_and_passes(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(RECORD))
    (problem,) = problems.read(tmp_path / "a.jsonl")
    right = problems.answer(FakeEngine("    c = a + b"), problem, 32, 1, 0.0)
    wrong = problems.answer(FakeEngine("    c = a - b"), problem, 32, 2, 0.8)
    assert (right.exact, wrong.exact, len(wrong.answers)) == (True, False, 2)
    assert problems.exact_match([right, wrong]).mean == 0.5
    assert 0.9 < problems.similarity([right, wrong]).mean < 1
    if sys.platform != "win32":
        assert passes(problem.program(right.answers[0]))
        assert passes(problem.program(problem.truth))
        assert not passes(problem.program(wrong.answers[0]))
    span = replace(problem, prefix="def add(a, b):\n    c = a", truth=" +", suffix=" b\n    return c\n")
    assert " a + b" in span.program(" +")


@pytest.mark.parametrize(
    ("task", "single_line"),
    [("SingleLineInfilling/HumanEval/0/L0", True), ("MultiLineInfilling/HumanEval/0/L0_L2", False)],
)
def test_only_where_one_line_is_missing_the_answer_ends_with_it(tmp_path: Path, task: str, single_line: bool) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({**RECORD, "task_id": task}))
    (problem,) = problems.read(tmp_path / "a.jsonl")
    engine = FakeEngine("    c = a + b")
    problems.answer(engine, problem, 32, 1, 0.0)
    assert engine.requests[0].stop == Stop(32, single_line=single_line)


def test_pass_at_k_is_unbiased() -> None:
    results = [
        ProblemResult(str(n), ("",) * 4, False, 0.0, tuple(i < right for i in range(4)))
        for n, right in [(0, 1), (1, 4)]
    ]
    assert problems.pass_at(1, results).mean == pytest.approx((1 / 4 + 1) / 2)
    assert problems.pass_at(2, results).mean == pytest.approx((1 / 2 + 1) / 2)
    with pytest.raises(ValueError, match="5 are needed"):
        problems.pass_at(5, results)


def test_holes_of_one_function_are_resampled_together() -> None:
    holes = [
        ProblemResult(f"SingleLineInfilling/HumanEval/{n}/L{line}", ("",), n > 0, 1.0)
        for n in (0, 1)
        for line in (0, 1)
    ]
    apart = [ProblemResult(f"{n}", ("",), hole.exact, 1.0) for n, hole in enumerate(holes * 50)]
    assert problems.exact_match(holes * 50).low == 0 < problems.exact_match(apart).low


@needs_limits
@pytest.mark.parametrize(
    "program",
    [
        "from collections import namedtuple; assert namedtuple('P', 'x y')(1, 2).y == 2",
        "from typing import TypeVar, NamedTuple; T = TypeVar('T')\nclass P(NamedTuple): x: int\nassert P(1).x == 1",
        "import statistics; assert statistics.mean([1, 3]) == 2",
        "from fractions import Fraction; assert Fraction(1, 2) + Fraction(1, 2) == 1",
        "from decimal import Decimal; assert Decimal('0.1') * 10 == 1",
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nassert P(1) == P(1)",
        "import random, hashlib, itertools, functools, string, datetime, json, copy, enum, abc, operator, bisect",
    ],
)
def test_a_solution_may_use_the_standard_library(program: str) -> None:
    assert passes(program)


@needs_limits
@pytest.mark.parametrize(
    ("program", "verdict"),
    [
        ("x = 1", True),
        ("import collections, heapq, math, re, typing\nprint(math.pi)", True),
        ("open('own.txt', 'w').write('1'); assert open('own.txt').read() == '1'", True),
        ("print('x' * 1000)", True),
        ("while True: print('x' * 100000)", False),
        ("assert False", False),
        ("def f(:", False),
        ("import sys, io; sys.stdout = io.StringIO()", True),
        ("import sys; sys.exit(0)", False),
        ("import sys; print(sys.argv[-1], end='', flush=True); import os; os._exit(0)", False),
        ("import __main__; assert not hasattr(__main__, 'os')", True),
        ("import sqlite3; sqlite3.connect('/tmp/x')", False),
        ("import _posixsubprocess", False),
        ("import os; os.mknod('x')", False),
        ("import os; os._exit(0)", False),
        ("while True: pass", False),
        ("x = 'a' * (1 << 30)", False),
        ("open('own.txt', 'w').write('1' * (2 << 20))", False),
        ("import socket; socket.socket()", False),
        ("import subprocess; subprocess.run(['true'])", False),
        ("import os; os.system('true')", False),
        ("import os; os.fork()", False),
        ("import ctypes; ctypes.CDLL(None)", False),
    ],
)
def test_a_program_passes_only_at_its_end_and_within_its_limits(program: str, verdict: bool) -> None:
    assert passes(program, SandboxLimits(seconds=1.5, memory_mb=256)) is verdict


@needs_limits
def test_a_program_writes_and_deletes_nothing_of_the_user_s(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    for program in (
        f"open({str(mine)!r}, 'w')",
        f"import os; os.remove({str(mine)!r})",
        f"import os; os.open({str(mine)!r}, 1)",
        f"import os; d = os.open({str(tmp_path)!r}, 0); os.open('mine.txt', os.O_WRONLY | os.O_TRUNC, dir_fd=d)",
        f"import os.path as p; p.realpath = lambda path: p.abspath('x'); open({str(mine)!r}, 'w')",
    ):
        assert not passes(program)
    assert mine.read_text() == "mine"
