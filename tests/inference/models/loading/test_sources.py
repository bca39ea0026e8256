"""Finding a model: errors name what is missing and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers import save_tiny_model
from safetensors.torch import load_file

from lacuna_inference.api import ModelOptions
from lacuna_inference.engine import assemble
from lacuna_inference.errors import BadRequest, LacunaError, ModelNotFound, ModelUnusable, NotEnoughMemory
from lacuna_inference.models import convert, loader
from lacuna_inference.models.describe import describe
from lacuna_inference.models.loading import memory, sources


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), "gpt_bigcode", "starcoder")


def copy(tiny: Path, to: Path, *leave_out: str) -> Path:
    to.mkdir(exist_ok=True)
    for file in tiny.iterdir():
        if file.name not in leave_out:
            (to / file.name).write_bytes(file.read_bytes())
    return to


def refusal(folder: str | Path, kind: type[LacunaError] = ModelUnusable) -> str:
    with pytest.raises(kind) as caught:
        assemble.load_model(ModelOptions(str(folder), device="cpu"), lambda *_: None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_complete_folder_loads_and_is_described(tiny: Path) -> None:
    model = assemble.load_model(ModelOptions(str(tiny), device="cpu"), lambda *_: None)
    assert (model.family.name, model.device, model.dtype) == ("starcoder", "cpu", "float32")
    assert model.decoder.context == 128
    description = describe(ModelOptions(str(tiny), device="cpu"))
    assert description.fits
    assert description.weight_bytes == 4 * description.parameters
    assert description.architecture == "GPTBigCodeForCausalLM"


def test_a_folder_that_is_not_a_model(tmp_path: Path) -> None:
    assert "no config.json" in refusal(tmp_path)


def test_a_file_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is a file" in refusal(tmp_path / "file", ModelNotFound)


def test_a_path_that_does_not_exist() -> None:
    assert "There is no folder ./nowhere" in refusal("./nowhere", ModelNotFound)


def test_a_hub_id_without_network_names_the_command() -> None:
    assert "Run: lacuna models fetch some/model" in refusal("some/model", ModelNotFound)


def test_a_config_that_is_not_json(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{not json")
    assert "cannot be read" in refusal(tmp_path)


def test_an_unknown_architecture(tiny: Path, tmp_path: Path) -> None:
    copy(tiny, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "perceptron"}))
    assert "cannot be loaded" in refusal(tmp_path)


def test_missing_weights(tiny: Path, tmp_path: Path) -> None:
    assert "no weights" in refusal(copy(tiny, tmp_path, "model.safetensors"))


def test_a_missing_shard(tiny: Path, tmp_path: Path) -> None:
    copy(tiny, tmp_path, "model.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "model-00001-of-00002.safetensors").touch()
    assert "lacks 1 of 2 weight files (model-00002" in refusal(tmp_path)


def test_a_truncated_weight_file(tiny: Path, tmp_path: Path) -> None:
    copy(tiny, tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "model.safetensors is cut off or damaged" in refusal(tmp_path)


def test_a_missing_tokenizer(tiny: Path, tmp_path: Path) -> None:
    assert "no tokenizer" in refusal(copy(tiny, tmp_path, "tokenizer.json"))


def test_a_broken_tokenizer(tiny: Path, tmp_path: Path) -> None:
    copy(tiny, tmp_path)
    (tmp_path / "tokenizer.json").write_text("[]")
    assert "tokenizer.json cannot be read" in refusal(tmp_path)


def test_a_model_s_own_code_is_not_run_without_consent(tiny: Path, tmp_path: Path) -> None:
    copy(tiny, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    assert "--trust-remote-code" in refusal(tmp_path)


def test_a_lack_of_memory_is_reported_before_anything_is_read(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda _: 1000)
    message = refusal(tiny, NotEnoughMemory)
    assert "needs about" in message
    assert "smaller" in message


@pytest.mark.parametrize("device", ["cuda:7", "quantum", "mps"])
def test_a_missing_device(device: str) -> None:
    with pytest.raises(BadRequest, match=device):
        loader.choose_device(device)


def test_dtypes_follow_the_device_and_the_family() -> None:
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert loader.choose_dtype("auto", {"model_type": "xglm", "dtype": "float32"}, cuda) is torch.float16
    assert loader.choose_dtype("auto", {"model_type": "qwen2", "dtype": "bfloat16"}, cuda) is torch.bfloat16
    assert loader.choose_dtype("auto", {"model_type": "qwen2", "dtype": "bfloat16"}, cpu) is torch.float32
    with pytest.raises(BadRequest, match="float17"):
        loader.choose_dtype("float17", {}, cpu)


def pickled(tiny: Path, to: Path, shards: int = 1) -> tuple[Path, dict[str, torch.Tensor]]:
    copy(tiny, to, "model.safetensors")
    state = load_file(tiny / "model.safetensors")
    state["lm_head.weight"] = state["transformer.wte.weight"]  # old checkpoints store tied weights twice
    names = sorted(state)
    for number in range(shards):
        name = "pytorch_model.bin" if shards == 1 else f"pytorch_model-{number + 1:05}-of-{shards:05}.bin"
        torch.save({n: state[n] for n in names[number::shards]}, to / name)
    return to, state


@pytest.mark.parametrize("shards", [1, 2])
def test_pickled_weights_are_rejected_and_converted(tiny: Path, tmp_path: Path, shards: int) -> None:
    folder, state = pickled(tiny, tmp_path, shards)
    assert f"lacuna models convert {folder}" in refusal(folder)
    written = convert.convert(folder)
    assert len(written) == shards
    converted = {name: tensor for file in written for name, tensor in load_file(file).items()}
    assert all(torch.equal(tensor, state[name]) for name, tensor in converted.items())
    assert assemble.load_model(ModelOptions(str(folder), device="cpu"), lambda *_: None).decoder.context == 128


def test_conversion_can_change_the_dtype(tiny: Path, tmp_path: Path) -> None:
    folder, _ = pickled(tiny, tmp_path)
    (file,) = convert.convert(folder, torch.float16)
    assert {tensor.dtype for tensor in load_file(file).values()} == {torch.float16}


class Evil:
    def __reduce__(self):  # type: ignore[no-untyped-def]
        return (Path("ran").touch, ())


def test_a_checkpoint_that_would_run_code_is_rejected(tiny: Path, tmp_path: Path) -> None:
    copy(tiny, tmp_path, "model.safetensors")
    torch.save({"weights": Evil()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelUnusable, match="plain tensors"):
        convert.convert(tmp_path)
    assert not Path("ran").exists()


def test_nothing_to_convert(tiny: Path) -> None:
    with pytest.raises(ModelUnusable, match="no pickled weights"):
        convert.convert(tiny)


def test_the_bundled_model_is_complete() -> None:
    folder = sources.find("bundled")
    assert folder.weight_files
    assert folder.weight_files[0].stat().st_size < 64 * 2**20
