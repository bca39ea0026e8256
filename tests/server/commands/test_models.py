"""`lacuna models info` and `lacuna doctor` say aloud when a model's prompt family may be wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from helpers import byte_tokenizer, save_tiny_model

from lacuna_server import doctor
from lacuna_server.commands import models, recommend
from lacuna_server.settings import Settings


@pytest.fixture
def unknown(tmp_path: Path) -> Settings:
    """A model with infilling tokens that no family has."""
    folder = save_tiny_model(tmp_path / "model")
    tokenizer = byte_tokenizer(["<|endoftext|>", "<|fim_begin|>", "<|fim_hole|>", "<|fim_end|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return Settings(model=str(folder))


def test_info_says_that_infilling_tokens_belong_to_no_family(
    unknown: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    models.info(unknown, as_json=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "plain, but its infilling tokens (<|fim_begin|>, <|fim_end|>, <|fim_hole|>) belong to no known family" in shown
    )
    models.info(unknown, as_json=True)
    assert "belong to no known family" in json.loads(capsys.readouterr().out)["doubt"]


def test_info_of_a_recognized_family_has_no_doubt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models.info(Settings(model=str(save_tiny_model(tmp_path / "m", family="qwen2.5-coder"))), as_json=False)
    assert "qwen2.5-coder, but" not in " ".join(capsys.readouterr().out.split())


def test_doctor_says_it_too(unknown: Settings) -> None:
    found = next(finding for finding in doctor._model(unknown) if finding.subject == "prompt family")
    assert found.verdict is doctor.Status.NOTE
    assert "belong to no known family" in found.found


def test_recommend_lists_the_catalogue_and_marks_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lacuna_inference.models import machine
    from lacuna_inference.models.machine import Cost, Machine, Speed

    speed = Speed(Cost(0.001, 1e-9), Cost(0.0001, 1e-11))
    here = Machine("cpu", 2**35, 1e11, {"int8": speed, "float32": speed})
    monkeypatch.setattr(machine, "measured", lambda device, types: here)
    recommend.recommend(Settings(device="cpu"), "", as_json=False)
    out = capsys.readouterr().out
    assert re.search(r"\* +qwen2.5-coder-1.5b +1\.\d s +2\d\d ms", out)
    assert "Run: lacuna models fetch qwen2.5-coder-1.5b" in out
    recommend.recommend(Settings(device="cpu"), "go, Rust", as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in said["models"] if row["best"]] == ["qwen2.5-coder-1.5b"]
    assert "bundled" not in {row["name"] for row in said["models"]}
    assert said["machine"]["device"] == "cpu"
