"""The trunk: weights at a constant learning rate, kept in the repository so that training can go on elsewhere.

The optimisers' momenta are not kept; they are as large as the weights and come back within some hundred steps.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lacuna_inference.models.sources import bundled_folder
from training.model import Model, Shape
from training.paths import TRUNK, Paths
from training.train import Progress, load, save


def keep(paths: Paths, trunk: Path = TRUNK) -> Progress:
    """Writes the checkpoint's weights, in bfloat16, with shape and progress in the file's metadata."""
    model, progress, _ = load(paths.checkpoint)
    weights = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, trunk, {"shape": json.dumps(asdict(model.shape)), "progress": json.dumps(asdict(progress))})
    return progress


def resume(paths: Paths, trunk: Path = TRUNK, tokenizer: Path | None = None) -> Progress:
    """Writes a checkpoint with the trunk's weights, and the tokenizer they were trained with."""
    paths.root.mkdir(parents=True, exist_ok=True)
    source = tokenizer or bundled_folder() / "tokenizer.json"
    if source != paths.tokenizer:
        shutil.copyfile(source, paths.tokenizer)
    with safe_open(trunk, framework="pt") as file:
        metadata = file.metadata()
        weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    model = Model(Shape(**json.loads(metadata["shape"])))
    model.load_state_dict(weights)
    progress = Progress(**json.loads(metadata["progress"]))
    save(paths.checkpoint, model, (), progress)
    return progress
