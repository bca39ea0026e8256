"""What a model's files store: names, sizes and types of the tensors, and the names of the tokens. Reads no tensor."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.damage import damaged
from lacuna_inference.models.gguf.types import FILE_TYPES
from lacuna_inference.models.loading.files import read_json
from lacuna_inference.models.loading.sources import ModelFolder

_EMBEDDINGS = ("token_embd.weight", "embed_tokens.weight", "wte.weight", "embed_in.weight")
_HEADS = re.compile(r"output\.weight|(.+\.)?(lm_head|embed_out)\.weight")
_EXPERTS = "_exps."
"""In the names of tensors in GGUF files that hold all experts of a layer."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file: how many weights, of which type (BF16, Q4_K)."""

    name: str
    parameters: int
    type: str


def tensors_of(folder: ModelFolder) -> list[StoredTensor]:
    """The tensors in the model's files. Raises ModelUnusable if a file cannot be read."""
    if folder.gguf is not None:
        infos = folder.gguf.tensors.values()
        return [StoredTensor(info.name, math.prod(info.shape), info.type.name) for info in infos]
    from safetensors import SafetensorError, safe_open

    found: list[StoredTensor] = []
    for file in folder.weight_files:
        try:
            with safe_open(file, "numpy") as weights:
                for name in weights.keys():  # noqa: SIM118
                    tensor = weights.get_slice(name)
                    found.append(StoredTensor(name, math.prod(tensor.get_shape()), tensor.get_dtype()))
        except (SafetensorError, OSError) as error:
            raise damaged(file, f"cannot be read: {error}") from error
    return found


def type_of(folder: ModelFolder, tensors: Collection[StoredTensor]) -> str:
    """What the mixture of types in a GGUF file is called, such as Q4_K_M; otherwise the type of most weights."""
    named = None if folder.gguf is None else folder.gguf.metadata.get("general.file_type")
    if isinstance(named, int) and named in FILE_TYPES:
        return FILE_TYPES[named]
    counts: Counter[str] = Counter()
    for tensor in tensors:
        counts[tensor.type] += tensor.parameters
    return counts.most_common(1)[0][0] if counts else ""


def share_read(folder: ModelFolder, tensors: Collection[StoredTensor]) -> float:
    """The share of the weights that a forward pass for one token reads.

    It reads one row of an embedding that is not the head as well, and of experts those that are chosen.
    """
    total = sum(tensor.parameters for tensor in tensors)
    apart = any(_HEADS.fullmatch(tensor.name) for tensor in tensors)
    looked_up = sum(tensor.parameters for tensor in tensors if apart and tensor.name.endswith(_EMBEDDINGS))
    idle = sum(tensor.parameters for tensor in tensors if _EXPERTS in tensor.name) * (1 - _experts_used(folder))
    return 1.0 if total == 0 else max(0.0, 1 - (looked_up + idle) / total)


def token_names(folder: ModelFolder) -> Collection[str]:
    """The names of all tokens, without building a tokenizer; empty if only a tokenizer would tell them."""
    if folder.gguf is not None:
        tokens = folder.gguf.metadata.get("tokenizer.ggml.tokens")
        return {token for token in tokens if isinstance(token, str)} if isinstance(tokens, list) else ()
    try:
        content = read_json(folder.path / "tokenizer.json")
    except ModelUnusable:
        return ()
    model, added = content.get("model"), content.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    ids = vocabulary if isinstance(vocabulary, dict | list) else ()
    names = [entry[:1] if isinstance(entry, list) else [entry] for entry in ids]  # of Unigram: pairs with scores
    names += [[token.get("content")] for token in (added if isinstance(added, list) else ()) if isinstance(token, dict)]
    return {name for entry in names for name in entry if isinstance(name, str)}


def _experts_used(folder: ModelFolder) -> float:
    """The share of the experts that are chosen for a token."""
    if folder.gguf is None:
        return 1.0
    at = f"{folder.gguf.architecture}.expert"
    used, count = (folder.gguf.metadata.get(f"{at}{key}") for key in ("_used_count", "_count"))
    if not isinstance(used, int) or not isinstance(count, int) or not 0 < used <= count:
        return 1.0
    return used / count
