"""Model folders of random weights in the shapes of published models: for measuring where the models cannot be had."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from lacuna_inference.errors import BadRequest
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.loading import sources
from lacuna_lab.bench.shapes import SHAPES, RandomTensors

MARK = "lacuna_random_weights"
"""Key of a config whose weights are random."""
_SHARD_BYTES, _INDEX = 2**30, "model.safetensors.index.json"


def known(name: str) -> str | None:
    """The shape that `name` means: its own name, or the hub's name of the published model, in any case."""
    plain = name.rsplit("/", 1)[-1].lower()
    for ending in ("-mono", "-multi", "-nl"):
        plain = plain.removesuffix(ending)
    return next((shape for shape in SHAPES if shape.lower() == plain), None)


def config_of(name: str) -> dict[str, Any]:
    """The config of a published shape; `name` as `known` gives it."""
    return {**SHAPES[name], MARK: True}


def is_random(config: dict[str, Any]) -> bool:
    """Whether a model's config says that its weights are random."""
    return bool(config.get(MARK))


def write(name: str, folder: Path, dtype: torch.dtype, tell: Callable[[float], None] = lambda _: None) -> None:
    """Writes a model of the shape `name`: config, tokenizer, weights in safetensors. `tell` gets the share done.

    Raises BadRequest when the disk has no room for it.
    """
    tensors = RandomTensors(registry.tensors(SHAPES[name]), dtype, torch.device("cpu"))
    free = shutil.disk_usage(folder).free
    if tensors.bytes > 0.95 * free:
        raise BadRequest(
            f"{name} takes {tensors.bytes / 1e9:.1f} GB on disk, and {folder} has {free / 1e9:.1f} GB free.",
            "Choose a folder on a larger disk with TMPDIR, or a smaller model.",
        )
    torch.manual_seed(0)
    config = {**config_of(name), "dtype": str(dtype).removeprefix("torch.")}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    _write_tokenizer(folder, config["vocab_size"])
    shard: dict[str, Tensor] = {}
    places: dict[str, str] = {}
    written = number = 0
    for at, tensor_name in enumerate(tensors, 1):
        shard[tensor_name] = tensors[tensor_name]
        size = sum(tensor.nbytes for tensor in shard.values())
        if size >= _SHARD_BYTES or at == len(tensors):
            file = f"model-{number:05}.safetensors"
            save_file(shard, folder / file, {"format": "pt"})
            places |= dict.fromkeys(shard, file)
            written, number, shard = written + size, number + 1, {}
            tell(written / tensors.bytes)
    index = {"metadata": {"total_size": written}, "weight_map": places}
    (folder / _INDEX).write_text(json.dumps(index), encoding="utf-8")


def is_whole(folder: Path) -> bool:
    """Whether `write` came to its end here."""
    return (folder / _INDEX).is_file()


def _write_tokenizer(folder: Path, vocabulary: int) -> None:
    """The bundled model's tokenizer, with as many more words as the shape has tokens."""
    content = json.loads((sources.bundled_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    words: dict[str, int] = content["model"]["vocab"]
    first = max([*words.values(), *(token["id"] for token in content["added_tokens"])]) + 1
    words |= {f"word{number}": number for number in range(first, vocabulary)}
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
