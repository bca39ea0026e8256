"""`lacuna precision` on small models: it finds the differences that exist."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import byte_tokenizer, save_tiny_model, tiny_model

from lacuna_inference.api import ModelOptions
from lacuna_inference.engine import assemble
from lacuna_inference.prompt.families import by_name
from lacuna_lab.precision import charts, probe, report, study, variants
from lacuna_lab.precision.questions import questions
from lacuna_lab.precision.study import DtypeResult, Study, StudyResult
from lacuna_lab.precision.study_dir import StudyDir

TEXT = "".join(f"def function_{number}(value):\n    return value + {number}\n\n\n" for number in range(40))
OPTIONS = ModelOptions(device="cpu", context=96)


def planned(folder: Path, tmp_path: Path, *tests: str, reference: str = "float32", **options: Any) -> Study:
    source = tmp_path / "text.py"
    source.write_text(TEXT)
    asked_of = ModelOptions(**{"model": str(folder), "device": "cpu", "context": 96, **options})
    asked = questions(asked_of, [source], tokens=300, hole_count=4, seed=0)
    return Study("tiny", asked_of, reference, tests, asked, 8, False, True)


def conducted(plan: Study, path: Path) -> StudyResult:
    return study.run(plan, StudyDir("study", path), lambda *_: None)


def test_every_dtype_is_measured_and_costs_what_it_should(tmp_path: Path) -> None:
    plan = planned(save_tiny_model(tmp_path / "model"), tmp_path, "float16", "bfloat16", "int8", "int4")
    found = {one.dtype: one for one in conducted(plan, tmp_path).found}
    kls = [one.summary.divergence.mean for one in found.values() if one.summary]
    assert 0 < kls[0] < 1e-4
    assert kls[0] < kls[1] < kls[3]  # three more bits of mantissa, and weights of four bits
    for one in found.values():
        assert one.summary is not None
        assert one.suggestions is not None
        assert one.verdict is not None
        assert one.summary.positions == 300
        assert one.suggestions.holes == len(plan.questions.holes) > 0
        assert len(one.layers) == 2
        assert 0 < one.layers[0].error < one.layers[1].error * 2
    assert found["float16"].layers[0].error < found["bfloat16"].layers[0].error


def test_a_dtype_does_not_differ_from_itself(tmp_path: Path) -> None:
    plan = planned(save_tiny_model(tmp_path / "model"), tmp_path, "float32")
    (one,) = conducted(plan, tmp_path).found
    assert one.summary is not None
    assert one.suggestions is not None
    assert one.summary.largest < 1e-9
    assert one.summary.same_top.mean == 1
    assert one.suggestions.identical.mean == 1
    assert max(layer.error for layer in one.layers) < 1e-5


def test_kept_logits_are_those_of_the_whole_text_at_once(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    plan = planned(folder, tmp_path, "float16")
    study_dir = StudyDir("study", tmp_path)
    study.run(plan, study_dir, lambda *_: None)
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for number, window in enumerate(plan.questions.windows):
        with torch.inference_mode():
            logits = model(torch.tensor([window.ids])).logits[0, window.first - 1 : -1]
        kept = study_dir.logits(number)
        assert kept.shape[1] < logits.shape[1]  # ids without a token are excluded
        assert np.abs(logits[:, : kept.shape[1]].numpy() - kept).max() < 1e-4


def interrupting_at(limit: int) -> study.OnProgress:
    calls = itertools.count(1)

    def on_progress(_doing: str, _share: float) -> None:
        if next(calls) == limit:
            raise KeyboardInterrupt

    return on_progress


def test_an_interrupted_study_ends_with_the_same_results(tmp_path: Path) -> None:
    plan = planned(save_tiny_model(tmp_path / "model"), tmp_path, "float16", "int8")
    whole = conducted(plan, tmp_path / "whole").found
    study_dir, found, broken = StudyDir("study", tmp_path / "broken"), None, 0
    while found is None:
        try:
            found = study.run(plan, study_dir, interrupting_at(2 + 7 * broken)).found
        except KeyboardInterrupt:
            broken += 1
    assert broken > 2
    for one, other in zip(whole, found, strict=True):
        assert one.summary is not None
        assert other.summary is not None
        assert one.summary.divergence.mean == pytest.approx(other.summary.divergence.mean, rel=1e-2)
        assert one.suggestions == other.suggestions


@pytest.mark.parametrize("kind", ["llama", "xglm", "codegen"])
def test_the_streams_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model", kind)
    ids = list(range(3, 60))
    streams = []
    for forward in ("own", "transformers"):
        loaded = assemble.load_model(
            ModelOptions(str(folder), device="cpu", context=96, forward=forward), lambda *_: None
        )
        assert loaded.forward is not None
        streams.append(probe.trace(loaded.forward, ids))
    assert len(streams[0]) == len(streams[1]) == 2
    for one, other in zip(*streams, strict=True):
        assert one.stream.shape == (len(ids), 64)
        assert (one.stream - other.stream).abs().max() < 1e-4
        assert one.not_finite == other.not_finite == 0
        assert one.largest >= other.largest - 1e-4  # the own forward also reports what is added to the stream


def overflowing(folder: Path) -> Path:
    """A model whose second layer writes more than fp16 can hold."""
    tokenizer = byte_tokenizer(list(dict.fromkeys([*by_name("starcoder").sentinels, *by_name("starcoder").ends])))
    model = tiny_model("llama", tokenizer.get_vocab_size() + 8)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.mul_(1e6)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("forward", ["own", "transformers"])
def test_an_overflow_is_located_in_its_layer(forward: str, tmp_path: Path) -> None:
    plan = planned(overflowing(tmp_path / "model"), tmp_path, "float16", "bfloat16", forward=forward)
    float16, bfloat16 = conducted(plan, tmp_path).found
    assert float16.verdict is not None
    assert float16.layers[0].not_finite == 0 < float16.layers[1].not_finite
    assert not float16.verdict.passed
    assert "not finite" in float16.verdict.sentence
    assert sum(layer.not_finite for layer in bfloat16.layers) == 0
    assert bfloat16.layers[1].largest > 65504


def test_unsupported_measurements_are_reported_and_the_rest_is_measured(tmp_path: Path) -> None:
    plan = planned(save_tiny_model(tmp_path / "model"), tmp_path, "int8", "bfloat16", forward="transformers")
    result = conducted(plan, tmp_path)
    refused, measured = result.found
    assert "int8 weights are for the own forward on a CPU" in refused.why_not
    assert measured.summary is not None
    text = "\n".join(report.markdown(plan, result, "2026-01-01"))
    assert "**int8**: not measured." in text


def test_reports_and_charts_hold_everything(tmp_path: Path) -> None:
    plan = planned(save_tiny_model(tmp_path / "model"), tmp_path, "float16", "int4")
    measured = Study(**{**{name: getattr(plan, name) for name in Study.__slots__}, "measure_speed": True})
    result = conducted(measured, tmp_path)
    text = "\n".join(report.markdown(measured, result, "2026-01-01", charts.FILES))
    assert "tiny (random weights)" in text
    assert "**The weights are random**" in text
    for part in ("Gates", "Layers", "Size and speed"):
        assert f"### {part}" in text
    found = json.loads(json.dumps(report.plain(measured, result, "2026-01-01"), allow_nan=False))
    assert found["random_weights"] is True
    assert [one["dtype"] for one in found["found"]] == ["float16", "int4"]
    assert found["found"][0]["speed"]["together"] is True
    charts.draw("tiny", result.found, tmp_path)
    for name in charts.FILES:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_empty_charts_are_still_drawn(tmp_path: Path) -> None:
    charts.draw("nothing", [DtypeResult("int8", "there is none")], tmp_path)
    assert all((tmp_path / name).is_file() for name in charts.FILES)


def test_the_reference_may_be_another_dtype(tmp_path: Path) -> None:
    plan = planned(save_tiny_model(tmp_path / "model"), tmp_path, "float32", reference="bfloat16")
    (one,) = conducted(plan, tmp_path).found
    assert one.summary is not None
    assert one.summary.divergence.mean > 1e-7
    assert variants.options(OPTIONS, "bfloat16").draft_tokens == 0
