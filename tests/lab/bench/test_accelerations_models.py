"""The acceleration study on a small model: exact accelerations change no text."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import save_tiny_model

from lacuna_inference.api import ModelOptions
from lacuna_inference.decoding.loop import Decoder
from lacuna_lab.bench import accelerations, accelerations_crowd
from lacuna_lab.bench.accelerations import AccelerationRow, TypingLoad
from lacuna_lab.bench.accelerations_models import Models, tensor_bytes
from lacuna_lab.bench.accelerations_steps import Acceleration, Group, Runner, Setup, base_and_everything, setups, steps
from lacuna_lab.bench.typing_trace import typing_trace
from lacuna_lab.evaluation.files import SourceFile

SOURCE = SourceFile("group", "x.py", "".join(f"def f{n}(a):\n    return a + {n}\n\n" for n in range(8)))


def works(count: int, keys: int) -> list[TypingLoad]:
    return [
        accelerations.typing_load(typing_trace(SOURCE, 2, random.Random(seed)), keys, 8, f"{seed}/")
        for seed in range(count)
    ]


def studied(models: Models, typed: list[TypingLoad]) -> list[AccelerationRow]:
    planned = steps(models.why_not)
    contestants = {setup: models.contestant(setup) for setup in setups(planned)}
    return accelerations.rows(planned, accelerations.measure(contestants, typed), typed, models)


@pytest.mark.parametrize(("kind", "family"), [("llama", "starcoder"), ("codegen", "codegen"), ("xglm", "incoder")])
def test_no_exact_step_changes_a_text(kind: str, family: str, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path, kind, family)
    models = Models(ModelOptions(str(folder), device="cpu", context=128, family=family), compiles=False)
    rows = studied(models, works(1, 12))
    assert [row.name for row in rows if row.broken] == []
    assert sum(row.exact and row.figures is not None for row in rows) >= 6
    ladder = {row.name: row.figures for row in rows if row.group is Group.LADDER and row.figures is not None}
    first, cached = (ladder[name] for name in (Runner.UNCACHED, Runner.GENERATE))
    own, kept = (ladder[name] for name in (Runner.OWN, Acceleration.PREFIX_CACHE))
    assert cached.evaluated < first.evaluated
    assert kept.evaluated < own.evaluated == cached.evaluated


def test_a_step_that_changes_texts_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study must detect a difference: the own forward is made to choose other tokens."""
    models = Models(ModelOptions(str(save_tiny_model(tmp_path)), device="cpu", context=128), compiles=False)
    forward: Any = models._loaded[Runner.OWN].forward
    head = forward.network.head
    few, many = head.decode_product, head.batch_product
    monkeypatch.setattr(head, "decode_product", lambda x: -few(x))
    monkeypatch.setattr(head, "batch_product", lambda x: -many(x))
    monkeypatch.setattr(forward, "_single", None)
    rows = studied(models, works(1, 4))
    assert Runner.OWN in [row.name for row in rows if row.broken]
    broken = next(row for row in rows if row.name == Runner.OWN and row.group is Group.LADDER)
    assert broken.figures is not None
    assert broken.figures.gap is not None
    assert broken.figures.gap > 1e-4


def test_concurrent_users_get_the_same_answers_as_alone(tmp_path: Path) -> None:
    models = Models(ModelOptions(str(save_tiny_model(tmp_path)), device="cpu", context=128), compiles=False)
    _, everything = base_and_everything(models.why_not)
    apart, together = accelerations_crowd.rows(models, everything, works(3, 5))
    assert apart.figures is not None
    assert together.figures is not None
    assert not together.broken
    assert together.figures.keys == 15


@pytest.mark.parametrize(("kind", "family"), [("llama", "starcoder"), ("codegen", "codegen"), ("xglm", "incoder")])
def test_all_weights_are_counted_once(kind: str, family: str, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path, kind, family)
    models = Models(ModelOptions(str(folder), device="cpu", context=128, family=family), compiles=False)
    library: Any = models._forward(Runner.LIBRARY)
    parameters = sum(parameter.nbytes for parameter in library.model.parameters())
    buffers = sum(buffer.nbytes for buffer in library.model.buffers())
    assert models.weight_bytes(Runner.LIBRARY) == parameters + buffers
    assert parameters <= models.weight_bytes(Runner.OWN)  # weights may be kept in two layouts
    assert models.weight_bytes(Runner.INT8) < 0.6 * parameters
    shared = torch.ones(100)
    assert tensor_bytes([shared, {"view": shared[10:]}, (lambda: shared)]) == 400


def test_contestants_remember_nothing_of_another_session(tmp_path: Path) -> None:
    models = Models(ModelOptions(str(save_tiny_model(tmp_path)), device="cpu", context=128), compiles=False)
    contestant = models.contestant(Setup(Runner.OWN, frozenset({Acceleration.PREFIX_CACHE})))
    request = works(1, 1)[0].requests[0]
    first = contestant.ask(request)
    repeated = contestant.ask(request)
    contestant.begin()
    again = contestant.ask(request)
    assert first == again
    assert (repeated.text, repeated.evaluated < first.evaluated) == (first.text, True)
    assert isinstance(models.decoder(Setup(Runner.OWN)), Decoder)
