"""What a model is, for those who ask a server about it; told from its files' headers and its tokenizer."""

from __future__ import annotations

import math
from pathlib import Path

from safetensors import safe_open

from lacuna_inference.api import ModelFacts
from lacuna_inference.models.loading.sources import ModelFolder
from lacuna_inference.prompt.tokenizer import PromptTokenizer


def of(folder: ModelFolder, tokenizer: PromptTokenizer, context: int, dtype: str) -> ModelFacts:
    """The facts of the model in `folder`, run with a `context` of so many tokens and in `dtype`."""
    return ModelFacts(
        family=tokenizer.family.name,
        architecture=str(folder.config.get("model_type", "")),
        parameters=sum(map(_parameters, folder.weight_files)),
        weight_bytes=sum(file.stat().st_size for file in folder.weight_files),
        dtype=dtype,
        context=context,
        vocabulary=tokenizer.size,
        begin="".join(tokenizer.pieces(tokenizer.begin)),
        end="".join(tokenizer.pieces(sorted(tokenizer.ends)[:1])),
        languages=folder.languages,
    )


def _parameters(file: Path) -> int:
    """The numbers in a file of weights, as they are stored; nothing of them is read."""
    with safe_open(file, "numpy") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
