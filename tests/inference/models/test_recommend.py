"""What is expected of the catalogue's models on a machine, and which of them is marked."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lacuna_inference.models import machine, recommend
from lacuna_inference.models.machine import Cost, Machine, Speed
from lacuna_inference.models.recommend import Expectation

CPU = torch.device("cpu")


def machine_of(bytes_per_s: float, operations_per_s: float, free: int | None = 2**36, layer_s: float = 0.0) -> Machine:
    """A machine on which nothing but reading and multiplying weights takes time, except `layer_s` for each layer."""
    prompt = Cost(layer_s, 2 * machine.PROMPT_TOKENS / operations_per_s)
    speeds = {kind: Speed(prompt, Cost(layer_s, size / bytes_per_s)) for kind, size in (("int8", 1), ("float32", 4))}
    return Machine("cpu", free, bytes_per_s, speeds)


def found(here: Machine, monkeypatch: pytest.MonkeyPatch, *languages: str) -> dict[str, Expectation]:
    monkeypatch.setattr(machine, "measured", lambda device, types: here)
    return {one.entry.name: one for one in recommend.expected(CPU, 2048, languages)[1]}


def test_times_follow_from_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = found(machine_of(20e9, 500e9), monkeypatch)
    one = expected["qwen2.5-coder-0.5b"]
    assert one.type == "int8"
    assert one.line_s == pytest.approx(12 * 0.494 / 20, rel=0.01)
    assert one.first_s - one.line_s == pytest.approx(2 * 1000 * 0.358e9 / 500e9 + 0.136 / 20, rel=0.01)
    assert one == replace(expected["qwen2.5-coder-0.5b-bf16"], entry=one.entry)
    assert expected["bundled"].type == "float32"
    assert 0.5e9 < one.bytes < 1.5e9


def test_the_strongest_that_is_fast_and_free_is_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    def best(*languages: str, free: int | None = 2**36, speed: float = 500e9) -> str | None:
        expected = found(machine_of(speed, 1e14, free), monkeypatch, *languages)
        chosen = recommend.best(expected.values())
        return None if chosen is None else chosen.entry.name

    assert best() == "qwen2.5-coder-7b"
    assert best("python", "rust") == "qwen2.5-coder-7b"
    assert best(speed=80e9) == "qwen2.5-coder-1.5b"  # the 3B would be fast, too, but its licence limits uses
    assert best(free=2 * 10**9) == "qwen2.5-coder-0.5b"
    assert best(free=None) == "qwen2.5-coder-7b"
    assert best(speed=3e9) == "bundled"
    assert best("go", speed=3e9) is None


def test_the_fastest_for_many_languages_is_named_even_if_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine_of(2e9, 1e11)
    fastest = recommend.fastest(found(here, monkeypatch).values())
    assert fastest is not None
    assert fastest.entry.name == "granite-4.0-350m"
    assert not fastest.fast


def test_a_machine_is_measured_by_the_own_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_BYTES", 2**20)
    monkeypatch.setattr(machine, "_PROMPT_PARAMETERS", 1)
    for name in ("_SMALL", "_SMALL_FP32"):
        monkeypatch.setattr(machine, name, (64, 128, 2))
    for name in ("_LARGE", "_LARGE_FP32"):
        monkeypatch.setattr(machine, name, (256, 512, 4))
    here = machine.measured(CPU, {"int8", "float32"})
    assert set(here.speeds) == {"int8", "float32"}
    for speed in here.speeds.values():
        assert 0 < speed.prompt.of(24, 10**8) < 1000
        assert 0 < speed.token.of(24, 10**8) < 1000
    assert here.bytes_per_s is not None


def test_costs_are_never_negative_where_a_measurement_was_disturbed() -> None:
    assert machine._cost(10, 5.0, 20, 4.0) == Cost(3.0, 0.2)
    assert machine._cost(10, 1.0, 20, 4.0) == Cost(0.0, 0.3)
