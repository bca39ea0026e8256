"""A model's facts, as a server reports them; read from its files' headers and its tokenizer."""

from __future__ import annotations

import math
from pathlib import Path

from safetensors import safe_open

from lacuna_inference.api import ModelFacts
from lacuna_inference.models.loading.sources import ModelFolder
from lacuna_inference.prompt.tokenizer import PromptTokenizer


def of(folder: ModelFolder, tokenizer: PromptTokenizer, context: int, dtype: str) -> ModelFacts:
    """The facts of the model in `folder`, run with a context of `context` tokens and in `dtype`."""
    return ModelFacts(
        family=tokenizer.family.name,
        architecture=str(folder.config.get("model_type", "")),
        parameters=sum(map(_parameters, folder.weight_files)),
        weight_bytes=sum(file.stat().st_size for file in folder.weight_files),
        dtype=dtype,
        context=context,
        vocabulary=tokenizer.size,
        begin="".join(tokenizer.token_texts(tokenizer.begin)),
        end="".join(tokenizer.token_texts(sorted(tokenizer.ends)[:1])),
        languages=folder.languages,
    )


def _parameters(file: Path) -> int:
    """The number of parameters stored in a weight file; reads only its header."""
    with safe_open(file, "numpy") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
