"""The config of a model in a GGUF file, as its config.json would have it."""

from __future__ import annotations

from typing import Any

from lacuna_inference.models.gguf.header import GgufFile


def config_of(file: GgufFile) -> dict[str, Any]:
    """The config that follows from the metadata of `file`."""
    length = file.metadata.get(f"{file.architecture}.context_length")
    config: dict[str, Any] = {
        "model_type": file.architecture,
        "_name_or_path": str(file.metadata.get("general.name", "")),
        "vocab_size": len(file.metadata.get("tokenizer.ggml.tokens", ())) or None,
    }
    return config if length is None else {**config, "max_position_embeddings": length}
