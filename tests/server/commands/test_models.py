"""`lacuna models info` and `lacuna doctor` say aloud when a model's prompt family may be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import byte_tokenizer, save_tiny_model

from lacuna_server import doctor
from lacuna_server.commands import models
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
