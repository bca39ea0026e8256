"""Model folders with random weights in the shapes of published models, for measuring without the models themselves."""

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

RANDOM_WEIGHTS_KEY = "lacuna_random_weights"
"""Config key that marks random weights."""
_SHARD_BYTES, _INDEX = 2**30, "model.safetensors.index.json"


def shape_of(name: str) -> str | None:
    """The shape called `name`, or that of the published model with this hub id; letter case is ignored."""
    plain = name.rsplit("/", 1)[-1].lower()
    for ending in ("-mono", "-multi", "-nl"):
        plain = plain.removesuffix(ending)
    return next((shape for shape in SHAPES if shape.lower() == plain), None)


def config_of(name: str) -> dict[str, Any]:
    """The config of a published shape; `name` as returned by `shape_of`."""
    return {**SHAPES[name], RANDOM_WEIGHTS_KEY: True}


def is_random(config: dict[str, Any]) -> bool:
    """Whether a model's config marks its weights as random."""
    return bool(config.get(RANDOM_WEIGHTS_KEY))


def write(name: str, folder: Path, dtype: torch.dtype, on_progress: Callable[[float], None] = lambda _: None) -> None:
    """Writes a model of the shape `name`: config, tokenizer and safetensors. `on_progress` gets the share done.

    Raises BadRequest when the disk has too little free space.
    """
    tensors = RandomTensors(registry.tensors(SHAPES[name]), dtype, torch.device("cpu"))
    free = shutil.disk_usage(folder).free
    if tensors.bytes > 0.95 * free:
        raise BadRequest(
            f"{name} takes {tensors.bytes / 1e9:.1f} GB on disk, and {folder} has {free / 1e9:.1f} GB free.",
            "Set TMPDIR to a folder on a larger disk, or choose a smaller model.",
        )
    torch.manual_seed(0)
    config = {**config_of(name), "dtype": str(dtype).removeprefix("torch.")}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    _write_tokenizer(folder, config["vocab_size"])
    shard: dict[str, Tensor] = {}
    weight_map: dict[str, str] = {}
    written = number = 0
    for count, tensor_name in enumerate(tensors, 1):
        shard[tensor_name] = tensors[tensor_name]
        size = sum(tensor.nbytes for tensor in shard.values())
        if size >= _SHARD_BYTES or count == len(tensors):
            file = f"model-{number:05}.safetensors"
            save_file(shard, folder / file, {"format": "pt"})
            weight_map |= dict.fromkeys(shard, file)
            written, number, shard = written + size, number + 1, {}
            on_progress(written / tensors.bytes)
    index = {"metadata": {"total_size": written}, "weight_map": weight_map}
    (folder / _INDEX).write_text(json.dumps(index), encoding="utf-8")


def is_complete(folder: Path) -> bool:
    """Whether `write` finished in `folder`."""
    return (folder / _INDEX).is_file()


def _write_tokenizer(folder: Path, vocabulary: int) -> None:
    """Writes the bundled model's tokenizer, extended to the size of the shape's vocabulary."""
    content = json.loads((sources.bundled_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    words: dict[str, int] = content["model"]["vocab"]
    first = max([*words.values(), *(token["id"] for token in content["added_tokens"])]) + 1
    words |= {f"word{number}": number for number in range(first, vocabulary)}
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
