"""Reads a model's tokenizer, without the tokens that the model has no embeddings for."""

from __future__ import annotations

import codecs
import json
import logging
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lacuna_inference.api import ModelOptions
from lacuna_inference.errors import ModelUnusable, first_line
from lacuna_inference.models.damage import AGAIN, damaged
from lacuna_inference.models.gguf.header import GgufFile
from lacuna_inference.models.gguf.tokenizer import build_tokenizer
from lacuna_inference.models.loading.config import rows
from lacuna_inference.models.loading.sources import ModelFolder

logger = logging.getLogger(__name__)


def read_tokenizer(folder: ModelFolder, options: ModelOptions) -> Tokenizer:
    """The tokenizer in `folder`. Raises ModelUnusable when it cannot be read.

    Some models have more tokens than embeddings: a `<pad>` after the vocabulary, sentinels that only a related model
    was trained with. Reading such a token would fail, so they are removed, and text that spells one is ordinary text.
    """
    count = rows(folder.config)
    if folder.gguf is not None:
        tokenizer, listed = _from_gguf(folder.gguf), folder.gguf.metadata["tokenizer.ggml.tokens"]
        if count is not None and len(listed) <= count:
            return tokenizer  # a token's id is its place in the list
    else:
        file = folder.path / "tokenizer.json"
        tokenizer = _from_file(file) if file.is_file() else _from_library(folder, options)
    return tokenizer if count is None else truncated(tokenizer, count)


def truncated(tokenizer: Tokenizer, count: int) -> Tokenizer:
    """The tokenizer without tokens whose ids are `count` or larger."""
    removed = [name for name, token in tokenizer.get_vocab(with_added_tokens=True).items() if token >= count]
    if not removed:
        return tokenizer
    shown = ", ".join(sorted(removed)[:3]) + (", ..." if len(removed) > 3 else "")
    logger.info("Removed %d tokens that the model has no embeddings for: %s.", len(removed), shown)
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [token for token in content.get("added_tokens") or [] if token["id"] < count]
    _truncate_vocabulary(content["model"], count)
    if any(token >= count for token in _template_ids(content.get("post_processor"))):
        content["post_processor"] = None
    return Tokenizer.from_str(json.dumps(content))


def _truncate_vocabulary(model: dict[str, Any], count: int) -> None:
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, list):  # Unigram: a token's id is its index
        model["vocab"] = vocabulary[:count]
    elif isinstance(vocabulary, dict):
        kept = {name: token for name, token in vocabulary.items() if token < count}
        model["vocab"] = kept
        if "merges" in model:
            pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
            model["merges"] = [pair for pair in pairs if all(part in kept for part in (*pair, "".join(pair)))]


def _template_ids(processor: Any) -> list[int]:
    """Every id that a post-processor adds to a text."""
    if isinstance(processor, dict):
        own = processor.get("ids")
        ids = [token for token in own if isinstance(token, int)] if isinstance(own, list) else []
        return ids + [token for part in processor.values() for token in _template_ids(part)]
    if isinstance(processor, list):
        return [token for part in processor for token in _template_ids(part)]
    return []


def _from_file(file: Path) -> Tokenizer:
    try:
        data = file.read_bytes().removeprefix(codecs.BOM_UTF8)
        return _with_file_ids(Tokenizer.from_buffer(data), data)
    except Exception as error:  # the Rust library raises plain Exception
        raise damaged(file, f"cannot be read: {error}") from error


def _with_file_ids(tokenizer: Tokenizer, data: bytes) -> Tokenizer:
    """`tokenizer`, which was read from `data`, with the ids that `data` gives to added tokens.

    The library renumbers those that are not in the vocabulary, without the gaps that a file may have.
    """
    content = json.loads(data)
    added = {token["content"]: token["id"] for token in content.get("added_tokens") or []}
    moved = {name: token for name, token in added.items() if tokenizer.token_to_id(name) != token}
    if not moved or not isinstance(content["model"].get("vocab"), dict):
        return tokenizer
    content["model"]["vocab"] = {**moved, **content["model"]["vocab"]}
    return Tokenizer.from_str(json.dumps(content))


def _from_gguf(file: GgufFile) -> Tokenizer:
    try:
        return build_tokenizer(file)
    except ModelUnusable:
        raise
    except Exception as error:  # of the Rust library, and for metadata of other types
        raise ModelUnusable(f"The tokenizer in {file.paths[0]} cannot be built: {first_line(error)}.", AGAIN) from error


def _from_library(folder: ModelFolder, options: ModelOptions) -> Tokenizer:
    from transformers import AutoTokenizer

    from lacuna_inference.models.loading.sources import unusable

    try:
        loaded = AutoTokenizer.from_pretrained(folder.path, trust_remote_code=options.trust_remote_code)
    except Exception as error:  # each type of tokenizer raises its own
        raise unusable(folder, error, "The tokenizer of ") from error
    backend = getattr(loaded, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ModelUnusable(f"The tokenizer in {folder.path} has no fast form.", "Add a tokenizer.json to the folder.")
    return backend
