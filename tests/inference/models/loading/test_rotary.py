"""Rotary positions as configs describe them: the logits are those of transformers, or an error names the key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import save_tiny_model

from lacuna_inference.api import ModelOptions
from lacuna_inference.engine import assemble
from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models import forward_choice, loader, transformers_forward
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.forward.network import rotation_table
from lacuna_inference.models.loading import frequencies, rotary
from lacuna_inference.models.loading.config import positions
from lacuna_lab.evaluation.scoring import logprobs

CONTEXT = 128
IDS = list(range(5, 105))
CPU = torch.device("cpu")
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
Config = dict[str, Any]
KINDS = ("llama", "mistral", "qwen2", "qwen3", "granite", "gemma", "starcoder2")


@pytest.fixture(scope="module", params=KINDS)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("llama"))


def configured(tiny: Path, to: Path, changes: Config) -> ModelOptions:
    """The tiny model with a config that describes its positions only by `changes`."""
    for file in tiny.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    config = json.loads((to / "config.json").read_text())
    config.pop("rope_parameters")
    config |= {"max_position_embeddings": CONTEXT, "sliding_window": None, **changes}
    (to / "config.json").write_text(json.dumps(config))
    return ModelOptions(str(to), context=CONTEXT, device="cpu")


@pytest.mark.parametrize(
    ("changes", "runs"),
    [
        ({}, "own"),
        ({"rope_theta": 5e5}, "own"),
        ({"rope_parameters": {"rope_type": "default"}, "rope_theta": 5e5}, "own"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}, "rope_theta": 5e5}, "own"),
        ({"rope_scaling": None, "rope_theta": 5e5}, "own"),
        ({"rope_scaling": {"type": "linear", "factor": 4.0}, "rope_theta": 5e5}, "own"),
        ({"rope_scaling": {"type": "default", "factor": 1.0}}, "own"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 4}, "rope_parameters": {"rope_type": "default"}}, "own"),
        ({"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e5}}, "own"),
        ({"rope_scaling": YARN, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, "own"),
        ({"rope_scaling": {**YARN, "type": "yarn"}, "rope_theta": 5e5}, "own"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}, "original_max_position_embeddings": 32}, "own"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, "own"),
        ({"rope_parameters": {**YARN, "rope_theta": 1e5}}, "own"),
        ({"rope_scaling": LLAMA3, "rope_theta": 5e5}, "own"),
        ({"rope_parameters": {**LLAMA3, "rope_theta": 5e5}}, "own"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "own"),
        ({"rope_parameters": {"rope_type": "proportional", "rope_theta": 1e4}}, "transformers"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "transformers"),
        ({"partial_rotary_factor": 0.5}, "transformers"),
    ],
)
def test_logits_are_those_of_transformers(tiny: Path, tmp_path: Path, changes: Config, runs: str) -> None:
    options = configured(tiny, tmp_path, changes)
    folder = loader.find(options)
    assert forward_choice.choose_forward(folder, options, CONTEXT)[0] == runs
    if runs == "own":
        ours = registry.read(folder, registry.ForwardSpec(torch.float32, CPU, CONTEXT, tuned=False))
        theirs = transformers_forward.read(folder, torch.float32, CPU, options)
        assert (logprobs(ours, IDS) - logprobs(theirs, IDS)).abs().max() <= 1e-4


def test_for_text_sections_of_an_image_s_axes_are_the_usual_positions(tiny: Path, tmp_path: Path) -> None:
    """transformers knows them in models with images only, which it runs with equal positions along all axes."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    spec = registry.ForwardSpec(torch.float32, CPU, CONTEXT, tuned=False)
    sections = {"type": "mrope", "mrope_section": [2, 3, 3]}
    plain, sectioned = (
        registry.read(loader.find(configured(tiny, tmp_path / name, changes)), spec)
        for name, changes in (
            ("one", {"rope_theta": 5e5}),
            ("two", {"rope_theta": 5e5, "rope_scaling": sections}),
        )
    )
    assert torch.equal(logprobs(plain, IDS), logprobs(sectioned, IDS))


@pytest.mark.parametrize(("context", "divisors"), [(32, "short_factor"), (33, "long_factor")])
def test_the_configured_context_chooses_longrope_s_divisors(context: int, divisors: str) -> None:
    """For every text of that context, so that keys in a cache keep their rotation."""
    rope = {"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [2.0] * 8, "attention_factor": 1.0}
    config = {"rope_parameters": {**rope, "original_max_position_embeddings": 32}, "max_position_embeddings": CONTEXT}
    expected = rotation_table(context, frequencies.plain(1e4, 16) / rope[divisors][0])  # type: ignore[index]
    torch.testing.assert_close(rotary.rotation(config, 16, context), expected)


@pytest.mark.parametrize(
    ("changes", "context"),
    [
        ({"rope_scaling": YARN}, 128),
        ({"rope_scaling": {**YARN, "factor": 8.0}}, 256),
        ({"rope_parameters": {**YARN, "factor": 0.5}}, 100),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, 100),
        ({"rope_scaling": {**LLAMA3, "factor": 32.0}}, 100),
        ({}, 100),
    ],
)
def test_yarn_lengthens_the_context_that_the_config_gives(changes: Config, context: int) -> None:
    assert positions({"max_position_embeddings": 100, **changes}) == context


def test_a_model_that_reads_images_gives_its_context_for_text() -> None:
    assert positions({"model_type": "qwen3_5", "text_config": {"max_position_embeddings": 100}}) == 100
    assert positions({"model_type": "qwen3_5", "text_config": None}) is None


@pytest.mark.parametrize("kind", ["llama3", "yarn", "longrope", "dynamic"])
def test_a_scaling_whose_lengths_are_unknown_is_left_to_transformers(kind: str) -> None:
    assert "max_position_embeddings" in (rotary.obstacle({"rope_scaling": {"type": kind, "factor": 2.0}}) or "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling of the type 'linear' needs a factor above zero, not None"),
        ({"rope_scaling": {"type": "linear", "factor": "2.0"}}, "needs a factor above zero, not '2.0'"),
        ({"rope_parameters": {"rope_type": "linear", "factor": -1}}, "rope_parameters of the type 'linear'"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "rope_scaling of the type 'yarn' needs a factor"),
        ({"rope_scaling": {"factor": 2.0}}, "rope_scaling has a factor and no rope_type"),
        ({"rope_scaling": {**LLAMA3, "low_freq_factor": None}}, "of the type 'llama3' lacks low_freq_factor"),
        ({"rope_scaling": {**LLAMA3, "low_freq_factor": 4}}, "low_freq_factor is not below high_freq_factor"),
        ({"rope_scaling": {**YARN, "beta_fast": "32"}}, "in rope_scaling of the type 'yarn', beta_fast is '32'"),
        ({"rope_scaling": {**YARN, "original_max_position_embeddings": -1}}, "original_max_position_embeddings is -1"),
        ({"rope_parameters": {"rope_type": "spiral"}}, "rope_parameters is of the type 'spiral', which is not known"),
        (
            {"rope_scaling": {"type": "longrope", "short_factor": [1.0] * 8, "long_factor": [1.0] * 7}},
            "rope_scaling of the type 'longrope' needs 8 numbers above zero as its long_factor",
        ),
        ({"rope_scaling": [1, 2]}, "rope_scaling is [1, 2], not an object"),
        ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "rope_parameters has a set for each kind"),
        ({"rope_theta": "1e6"}, "rope_theta is '1e6', not a number above zero"),
        ({"rope_parameters": {"rope_theta": -1}}, "rope_theta is -1, not a number above zero"),
        (
            {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": {"rope_theta": 1e6}},
            "rope_scaling takes precedence over rope_parameters and lacks its rope_theta of 1000000.0",
        ),
        (
            {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": YARN},
            "rope_scaling is of the type 'linear' and rope_parameters of the type 'yarn'",
        ),
    ],
)
def test_a_config_that_cannot_be_honoured_names_the_key(
    llama: Path, tmp_path: Path, changes: Config, message: str
) -> None:
    options = configured(llama, tmp_path, changes)
    with pytest.raises(ModelUnusable) as caught:
        assemble.load_model(options, lambda *_: None)
    assert message in str(caught.value)
    assert "config.json" in str(caught.value)


def broken(**changes: Any) -> Callable[[Config], Config]:
    return lambda config: {**config, **changes}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (broken(num_hidden_layers="2"), "num_hidden_layers is '2', not a whole number above zero"),
        (broken(num_hidden_layers=-2), "num_hidden_layers is -2"),
        (broken(hidden_size=64.5), "hidden_size is 64.5"),
        (broken(vocab_size=True), "vocab_size is True"),
        (lambda config: {k: v for k, v in config.items() if k != "hidden_size"}, "it lacks hidden_size"),
        (broken(sliding_window="8"), "sliding_window is '8'"),
        (broken(rms_norm_eps="1e-6", norm_epsilon="1e-6"), "'1e-6', not a number above zero"),
        (broken(max_position_embeddings=-1), "max_position_embeddings in config.json is -1"),
        (broken(max_position_embeddings=float("inf")), "max_position_embeddings in config.json is inf"),
        (broken(max_position_embeddings="128"), "max_position_embeddings in config.json is '128'"),
        (broken(hidden_size=128), "the config asks for"),
        (broken(num_hidden_layers=3), "lack the tensor model.layers.2"),
        (broken(vocab_size=999), "and the config asks for 999 x 64"),
        (broken(architectures=["LlamaForSequenceClassification"]), "which does not generate text"),
        (broken(model_type=["llama"]), "model_type in"),
        (broken(model_type="lama"), "cannot be loaded"),
    ],
)
def test_invalid_sizes_are_named(llama: Path, tmp_path: Path, edit: Callable[[Config], Config], message: str) -> None:
    options = configured(llama, tmp_path, {})
    file = tmp_path / "config.json"
    file.write_text(json.dumps(edit(json.loads(file.read_text()))))
    with pytest.raises(ModelUnusable) as caught:
        assemble.load_model(options, lambda *_: None)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_layers_missing_from_the_config_are_reported(
    llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = loader.find(
        configured(llama, tmp_path, {"num_hidden_layers": 1, "max_window_layers": 1, "layer_types": None})
    )
    registry.read(folder, registry.ForwardSpec(torch.float32, CPU, CONTEXT, tuned=False))
    assert "more layers than the config says" in caplog.text
