"""The ids of tokenizers from GGUF files against those of llama.cpp, on wild texts."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from wild_text import wild_text

from lacuna_inference.models.gguf.header import GgufFile, read_gguf
from lacuna_inference.models.gguf.pre_tokenizers import SPLITTINGS
from lacuna_inference.models.gguf.tokenizer import build_tokenizer

FOLDER = os.environ.get("LACUNA_MODELS")
"""Read here, because tests see none of these variables."""
STRINGS = int(os.environ.get("LACUNA_STRINGS", "2000"))
FILES = sorted(Path(FOLDER).glob("*.gguf")) if FOLDER else []
HOW = "run make test-models FOLDER=folder-with-GGUF-files"
ONE_OF_EACH = sorted({splitting: name for name, splitting in SPLITTINGS.items()}.values())

pytestmark = [
    pytest.mark.models,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not FILES, reason=f"no folder with GGUF files is named: {HOW}"),
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_ids_of_a_model_are_llama_cpps(file: Path, tmp_path: Path) -> None:
    assert differing(read_gguf(file).metadata, tmp_path, STRINGS) == []


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_texts_are_split_as_by_llama_cpp(name: str, tmp_path: Path) -> None:
    """Each splitting with the vocabulary of the model that has most tokens, as few have models here."""
    found = [file.metadata for file in map(read_gguf, FILES) if file.metadata.get("tokenizer.ggml.model") == "gpt2"]
    if not found:
        pytest.skip("no model in the folder has a byte-level tokenizer")
    largest = max(found, key=lambda metadata: len(metadata["tokenizer.ggml.tokens"]))
    assert differing(largest | {"tokenizer.ggml.pre": name}, tmp_path, STRINGS // 10) == []


def differing(metadata: Mapping[str, Any], folder: Path, strings: int) -> list[tuple[str, list[int], list[int]]]:
    """Of `strings` wild texts those whose ids differ, with llama.cpp's and ours; both as prompts and as plain texts."""
    pytest.importorskip("xllamacpp", reason=f"xllamacpp is not installed: {HOW}")
    from llama_cpp_server import LlamaCpp

    theirs = LlamaCpp(metadata, folder)
    tokenizer = build_tokenizer(GgufFile((folder / "tiny.gguf",), metadata, {}))
    rng, found = random.Random(strings), []
    for number in range(strings):
        text, special = wild_text(rng), number % 4 == 0
        tokenizer.encode_special_tokens = not special
        expected, ids = theirs.ids(text, special), tokenizer.encode(text, add_special_tokens=special).ids
        if ids != expected:
            found.append((text, expected, ids))
    return found
