"""What runs a model, and what is said where nothing can."""

from __future__ import annotations

from pathlib import Path

import pytest

from lacuna_inference.api import ModelOptions
from lacuna_inference.errors import BadRequest, ModelUnusable
from lacuna_inference.models.forward_choice import choose_forward, choose_quantization
from lacuna_inference.models.gguf.header import GgufFile
from lacuna_inference.models.llama_cpp import library
from lacuna_inference.models.loader import choose_device
from lacuna_inference.models.loading.sources import ModelFolder

CONTEXT = 64
SHAPE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 512}


def folder(architecture: str, in_gguf: bool = True) -> ModelFolder:
    path = Path("model.gguf" if in_gguf else "model")
    gguf = GgufFile((path,), {"general.architecture": architecture}, {}) if in_gguf else None
    return ModelFolder("m", path, {"model_type": architecture, **SHAPE}, gguf)


def chosen(model: ModelFolder, forward: str = "auto") -> str:
    return choose_forward(model, ModelOptions(forward=forward), CONTEXT)[0]


@pytest.fixture(params=[True, False], ids=["with llama.cpp", "without llama.cpp"])
def installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(library, "is_installed", lambda: request.param)
    return bool(request.param)


@pytest.mark.usefixtures("installed")
def test_the_own_forward_runs_what_it_knows() -> None:
    assert chosen(folder("qwen2")) == chosen(folder("qwen2"), "own") == "own"
    assert chosen(folder("qwen2", in_gguf=False)) == "own"


def test_llama_cpp_runs_other_files(installed: bool) -> None:
    if installed:
        assert chosen(folder("qwen3moe")) == "llama.cpp"
    else:
        with pytest.raises(ModelUnusable, match=r"its architecture is qwen3moe\. Run pip install .+llama-cpp"):
            chosen(folder("qwen3moe"))


def test_llama_cpp_is_used_when_it_is_asked_for(installed: bool) -> None:
    if installed:
        assert chosen(folder("qwen2"), "llama.cpp") == "llama.cpp"
    else:
        with pytest.raises(BadRequest, match=r"llama\.cpp is not installed\. Run pip install"):
            chosen(folder("qwen2"), "llama.cpp")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("model", "forward", "said"),
    [
        (folder("qwen2", in_gguf=False), "llama.cpp", "llama.cpp runs GGUF files only"),
        (folder("qwen2"), "transformers", "transformers does not run the GGUF file"),
        (folder("qwen3moe"), "own", "The own forward cannot run the GGUF file"),
        (folder("qwen3moe", in_gguf=False), "own", "The own forward does not run"),
    ],
)
def test_what_cannot_run_a_model_says_so(model: ModelFolder, forward: str, said: str) -> None:
    with pytest.raises((BadRequest, ModelUnusable), match=said):
        chosen(model, forward)


def test_llama_cpp_keeps_the_weights_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "is_installed", lambda: True)
    options = ModelOptions(forward="llama.cpp", device="cpu")
    assert choose_quantization(folder("qwen2"), options, choose_device("cpu"), CONTEXT) == "none"
