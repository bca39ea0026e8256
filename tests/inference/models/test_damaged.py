"""Models whose weights, or results, are not finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import save_tiny_model, scripted_decoder
from safetensors.torch import load_file, save_file

from lacuna_inference.api import CancelToken, ModelOptions, Phase, Request, Sampling
from lacuna_inference.decoding.answer import answer
from lacuna_inference.decoding.sampler import Sampler
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.errors import LacunaError
from lacuna_server import doctor
from lacuna_server.doctor import Finding, Status
from lacuna_server.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "model")


def damage(folder: Path, name: str, number: float = torch.nan) -> None:
    """Writes `number` into one element of the tensor called `name`."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors[name] = tensors[name].clone()
    tensors[name].view(-1)[1] = number
    save_file(tensors, file, {"format": "pt"})


@pytest.mark.parametrize("name", ["model.layers.0.mlp.up_proj.weight", "model.layers.1.self_attn.v_proj.weight"])
def test_a_model_with_damaged_weights_does_not_load(folder: Path, name: str) -> None:
    damage(folder, name)
    engine = ModelEngine(ModelOptions(str(folder), device="cpu"))
    with pytest.raises(LacunaError, match=r"not finite \(NaN or infinity\)\. Its weights are damaged"):
        engine.submit(Request(("a\n", "\n"))).result(60)
    assert engine.state.phase is Phase.FAILED
    assert "lacuna doctor" in engine.state.message


def of_weights(folder: Path) -> Finding:
    return next(found for found in doctor._model(Settings(model=str(folder))) if found.subject == "weights")


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
def test_doctor_names_the_damaged_tensor(folder: Path, number: float) -> None:
    assert of_weights(folder).verdict is Status.GOOD
    damage(folder, "model.layers.0.mlp.up_proj.weight", number)
    found = of_weights(folder)
    assert (found.verdict, found.found) == (Status.BAD, "NaN or infinity in model.layers.0.mlp.up_proj.weight")
    assert found.remedy
    damage(folder, "model.norm.weight", number)
    assert of_weights(folder).found.endswith(" and 1 more")


def test_doctor_reports_a_truncated_weight_file(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    (bad,) = (found for found in doctor._model(Settings(model=str(folder))) if found.verdict is Status.BAD)
    assert file.name in bad.found


def logits(**changed: float) -> torch.Tensor:
    row = torch.arange(300, dtype=torch.float32)
    for index, number in changed.items():
        row[int(index.removeprefix("at_"))] = number
    return row


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.8, 0.9, seed=1)])
@pytest.mark.parametrize("row", [logits(at_7=torch.nan), logits(at_7=torch.inf), torch.full((300,), torch.nan)])
@pytest.mark.parametrize("allowed", [None, np.array([1, 2])])
def test_no_token_is_sampled_from_logits_that_are_not_finite(
    sampling: Sampling, row: torch.Tensor, allowed: np.ndarray | None
) -> None:
    with pytest.raises(LacunaError, match="not finite"):
        Sampler(sampling, [0], 300).choose(row, allowed)


def test_tokens_may_be_impossible_and_padding_rows_anything() -> None:
    row = logits(at_7=-torch.inf, at_299=torch.nan)
    assert Sampler(Sampling(), [], 299).choose(row)[0] == 298


def test_wrong_results_are_not_reused() -> None:
    decoder = scripted_decoder("abc")
    forward = decoder.caches.forward
    step, broken = forward.step, [False]

    def sometimes(*asked: object) -> torch.Tensor:
        logits: torch.Tensor = step(*asked)  # type: ignore[arg-type]
        return logits.fill_(torch.nan) if broken[0] else logits

    forward.step = sometimes  # type: ignore[method-assign]

    def ask(text: str) -> int:
        answered = answer(decoder, "m", Request((text, "\n"), document_id="document"), CancelToken(), 0.0)
        return answered.metrics.reused_tokens

    ask("a\nb\n")
    broken[0] = True
    with pytest.raises(LacunaError, match="not finite"):
        ask("a\nb\nc\n")
    broken[0] = False
    assert ask("a\nb\nc\nd\n") == 0
