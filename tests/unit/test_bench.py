"""The benchmarks' arithmetic, on a model that needs a known time."""

from __future__ import annotations

import time

import pytest
import torch
from helpers import ScriptedForward

from lacuna_server.lab.bench.bandwidth import seconds
from lacuna_server.lab.bench.decode import HELD, Subject, measure, table

CPU = torch.device("cpu")


def subject(name: str, pause_s: float, random_weights: bool) -> Subject:
    forward = ScriptedForward(4, lambda _: 0, on_step=lambda _: time.sleep(pause_s))
    return Subject(name, "own", "float32", forward, weight_bytes=1000, random_weights=random_weights)


def test_a_row_tells_the_time_of_a_pass_and_the_share_of_the_bandwidth() -> None:
    subjects = [subject("slow", 0.02, True), subject("fast", 0.001, False)]
    rows = measure(subjects, (1, 4), CPU, bandwidth=100_000, repeats=3)
    assert [(row.model, row.width) for row in rows] == [
        ("slow (random weights)", 1), ("slow (random weights)", 4), ("fast", 1), ("fast", 4)
    ]  # fmt: skip
    for row in rows:
        assert row.tokens_per_s == pytest.approx(row.width / row.pass_s)
        assert row.share == pytest.approx(1000 / row.pass_s / 100_000)
    assert rows[0].pass_s >= 0.02 > rows[2].pass_s
    assert len(list(table(rows, 1e9))) == 4 + 4


def test_every_pass_begins_behind_the_same_tokens() -> None:
    one = subject("x", 0, False)
    measure([one], (2,), CPU, 1.0, repeats=3)
    assert len(one.forward.tokens) == HELD + 2  # type: ignore[attr-defined]


def test_the_time_of_a_call() -> None:
    assert 0.01 <= seconds(lambda: time.sleep(0.01), CPU) < 0.2
