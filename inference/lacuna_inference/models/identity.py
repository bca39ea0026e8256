"""What a model's packed weights, and its keys and values besides the tokens, depend on, as a key."""

from __future__ import annotations

import hashlib
import json

from lacuna_inference import __version__
from lacuna_inference.models.forward.quantized import arithmetic_of
from lacuna_inference.models.loading.sources import ModelFolder


def key_of(folder: ModelFolder, quantization: str, *settings: object) -> str:
    """A hash of a model's config, of its weight files' names, sizes and times, of settings, and of this version.

    Another version may compute other numbers. Weights are not read: that would take longer than what it saves.
    """
    arithmetic = "" if quantization == "none" else arithmetic_of(quantization)
    files = [file.resolve() for file in folder.weight_files]
    weights = [(file.name, found.st_size, found.st_mtime_ns) for file in files for found in [file.stat()]]
    facts = [__version__, folder.config, weights, quantization, arithmetic, *map(str, settings)]
    return hashlib.blake2b(json.dumps(facts, sort_keys=True, default=str).encode(), digest_size=20).hexdigest()
