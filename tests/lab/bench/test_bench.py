"""The benchmarks' arithmetic, on a model that needs a known time."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
import torch
from helpers import ScriptedForward, scripted_decoder
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import ModelOptions
from lacuna_lab.bench import answers, steadiness
from lacuna_lab.bench.bandwidth import seconds
from lacuna_lab.bench.decode import CACHED_TOKENS, DecodeSubject, measure, table
from lacuna_lab.bench.typing_bench import Run, TypedAnswer, rows
from lacuna_lab.bench.typing_bench import table as typing_table
from lacuna_lab.bench.typing_trace import gap, typing_trace
from lacuna_lab.commands import bench as bench_command
from lacuna_lab.commands.bench import TRANSFORMERS, WITHOUT
from lacuna_lab.evaluation.files import SourceFile
from lacuna_server.settings import Settings

CPU = torch.device("cpu")


def subject(name: str, pause_s: float, random_weights: bool) -> DecodeSubject:
    forward = ScriptedForward(4, lambda _: 0, on_step=lambda _: time.sleep(pause_s))
    return DecodeSubject(name, "own", "float32", forward, weight_bytes=1000, random_weights=random_weights)


def test_a_row_shows_the_time_of_a_pass_and_the_share_of_the_bandwidth() -> None:
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


def test_every_pass_starts_after_the_same_tokens() -> None:
    one = subject("x", 0, False)
    measure([one], (2,), CPU, 1.0, repeats=3)
    assert len(one.forward.tokens) == CACHED_TOKENS + 2  # type: ignore[attr-defined]


def test_the_time_of_a_call() -> None:
    assert 0.01 <= seconds(lambda: time.sleep(0.01), CPU) < 0.2


SOURCE = SourceFile("group", "x.py", "".join(f"def f{n}(a):\n    return a + {n}\n\n" for n in range(20)))


@given(st.integers(0, 1000), st.integers(1, 4))
def test_a_session_restores_the_file_key_by_key(seed: int, runs: int) -> None:
    typed = typing_trace(SOURCE, runs, random.Random(seed))
    text = typed.text
    assert len(text) < len(SOURCE.text)
    for key in typed.keys:
        text = text[: key.start] + key.inserted + text[key.start + key.deleted :]
        assert text == key.text
        assert 0 <= key.cursor <= len(text)
    assert text == SOURCE.text


def test_gaps_between_keys_are_human() -> None:
    rng = random.Random(0)
    gaps = sorted(gap(rng) for _ in range(20_000))
    shares = [gaps[int(share * len(gaps))] for share in (0.1, 0.5, 0.9)]
    assert shares == pytest.approx([0.045, 0.092, 0.248], rel=0.05)


def ran(taken: list[float], text: str = "x", **counters: int) -> Run:
    return Run([TypedAnswer(t, 0.1, text, counters) for t in taken], cpu_s=0.5, resident=2**20)


def test_contestants_are_compared_key_by_key() -> None:
    first = ran([0.01, 0.02, 0.03, 0.04], evaluated_tokens=2, forward_passes=0, prompt_tokens=9, reused_tokens=8)
    other = ran([0.02, 0.04, 0.06, 0.2], text="y")
    one, two = rows({"first": [first], "other": [other]})
    assert (one.slower, two.slower) == (1.0, 2.0)
    assert (one.in_time, two.in_time) == (1.0, 0.75)
    assert (one.read, one.evaluated, one.passes, one.without_pass) == (1.0, 2.0, 0.0, 1.0)
    assert (two.read, two.evaluated, two.passes, two.without_pass) == (None, None, None, None)
    assert (one.same_text, two.same_text) == (1.0, 0.0)
    assert (one.cpu_s_per_1000, one.p50_s) == (125.0, 0.025)
    assert len(list(typing_table([one, two]))) == 4


def test_the_chart_of_times_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from lacuna_lab.bench import typing_chart

    typing_chart.draw(rows({"first": [ran([0.01])], "other": [ran([0.5])]}), tmp_path / "times.png")
    assert (tmp_path / "times.png").read_bytes().startswith(b"\x89PNG")


def test_answers_are_compared_in_the_same_loop() -> None:
    requests = answers.requests([SOURCE], 2, max_tokens=20, seed=0)
    assert len(requests) == 4
    decoders = {
        "plain": scripted_decoder("    return a + 3\n", "starcoder"),
        "slow": scripted_decoder("    return a + 3\n", "starcoder", on_step=lambda _: time.sleep(0.002)),
        "drafts": scripted_decoder("    return a + 3\n", "starcoder", max_draft_tokens=7),
        "other": scripted_decoder("pass", "starcoder"),
    }
    plain, slow, drafts, other = answers.measure(decoders, requests)
    assert plain.ratio == 1.0 > slow.ratio
    assert (plain.same_text, drafts.same_text, other.same_text) == (1.0, 1.0, 0.0)
    assert drafts.tokens_per_pass > plain.tokens_per_pass
    assert plain.tokens == drafts.tokens > other.tokens
    assert len(list(answers.table([plain, slow]))) == 4


def test_figures_of_a_server_are_shown_with_their_units() -> None:
    shown = "\n".join(
        steadiness.table(steadiness.SteadinessFigures(900, 0.001, 0.0042, 100, 0.05, 1, 10_000, 3 * 2**20))
    )
    for figure in ("1.0 ms", "4.2 ms", "50.0 ms", "| 1 |", "+3.0 MiB"):
        assert figure in shown


def test_transformers_is_skipped_for_quantized_weights(capsys: pytest.CaptureFixture[str]) -> None:
    contestants = bench_command._contestants(Settings(quantization="int8"), bench_command.Others(), {})
    assert list(contestants) == ["lacuna", *(f"lacuna, {name}" for name in WITHOUT if name != TRANSFORMERS)]
    assert "transformers is left out: it does not run int8 weights" in capsys.readouterr().err


def test_answers_can_be_measured_without_transformers() -> None:
    options = ModelOptions(quantization="int8")
    assert list(answers.contestants(options, (), by_transformers=False)) == ["own", "own, drafts"]
