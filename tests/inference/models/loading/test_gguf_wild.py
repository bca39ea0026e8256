"""GGUF files whose metadata or tensors are of any type and shape: a model, or one sentence."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import ModelOptions
from lacuna_inference.errors import LacunaError
from lacuna_inference.models import forward_choice, loader
from lacuna_inference.models.loading import sources, stored
from lacuna_inference.models.loading.tokenizer import read_tokenizer
from lacuna_inference.models.on_disk import on_disk

KEYS = (
    "general.architecture", "general.type", "general.name", "general.file_type", "general.alignment",
    "llama.context_length", "llama.embedding_length", "llama.block_count", "llama.feed_forward_length",
    "llama.attention.head_count", "llama.attention.head_count_kv", "llama.attention.key_length",
    "llama.attention.layer_norm_rms_epsilon", "llama.rope.freq_base", "llama.rope.scaling.type",
    "llama.rope.scaling.factor", "llama.expert_count", "llama.expert_used_count", "llama.vocab_size",
    "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens", "tokenizer.ggml.token_type",
    "tokenizer.ggml.scores", "tokenizer.ggml.merges", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_space_prefix",
)  # fmt: skip
TENSORS = ("token_embd.weight", "output.weight", "output_norm.weight", "blk.0.attn_q.weight", "rope_freqs.weight", "x")
TEXTS = st.sampled_from(["llama", "gpt2", "qwen2", "yarn", "", "<|fim_prefix|>", "a b", "\n"]) | st.text(max_size=5)
SOUND: dict[str, Any] = {
    "general.architecture": "llama", "llama.context_length": 128, "llama.embedding_length": 32, "llama.block_count": 1,
    "llama.feed_forward_length": 64, "llama.attention.head_count": 2, "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": ["a", "b", "ab"],
    "tokenizer.ggml.merges": ["a b"], "tokenizer.ggml.token_type": [1, 1, 1],
}  # fmt: skip


def text(content: str) -> bytes:
    encoded = content.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(encoded)) + encoded


def packed(value: Any, kind: int | None = None) -> bytes:
    """A value with its type, or as an element of a list of the type `kind`."""
    for type_, form, number in ((bool, "?", 7), (float, "d", 12), (int, "q", 11)):
        if isinstance(value, type_):
            return (b"" if kind is not None else struct.pack("<I", number)) + struct.pack(f"<{form}", value)
    if isinstance(value, str):
        return (b"" if kind is not None else struct.pack("<I", 8)) + text(value)
    number = {bool: 7, float: 12, int: 11, str: 8}[type(value[0])] if value else 8
    return struct.pack("<IIQ", 9, number, len(value)) + b"".join(packed(element, number) for element in value)


def written(path: Path, metadata: dict[str, Any], tensors: dict[str, tuple[list[int], int]]) -> Path:
    content = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    content += b"".join(text(key) + packed(value) for key, value in metadata.items())
    for name, (shape, kind) in tensors.items():
        content += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, 0)
    path.write_bytes(content + bytes(4096))
    return path


NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, -1, 2, 32, 128])
VALUES = (
    st.booleans() | NUMBERS | st.floats() | TEXTS | st.lists(TEXTS, max_size=3) | st.lists(NUMBERS, max_size=3)
    | st.lists(st.floats(), max_size=3)
)  # fmt: skip
SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 32]), max_size=4)
METADATA = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5)
STORED = st.dictionaries(st.sampled_from(TENSORS), st.tuples(SHAPES, st.sampled_from([0, 1, 8, 12])), max_size=4)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wild") / "m.gguf"


@given(METADATA, STORED, st.booleans())
def test_any_metadata_is_a_model_or_one_sentence(
    file: Path, metadata: dict[str, Any], tensors: dict[str, tuple[list[int], int]], sound: bool
) -> None:
    written(file, {**(SOUND if sound else {}), **metadata}, tensors)
    options = ModelOptions(str(file), device="cpu")
    try:
        folder = loader.checked(sources.find(str(file)))
        stored.share_read(folder, stored.tensors_of(folder))
        family = loader.recognize_family(folder, stored.token_names(folder))
        forward_choice.choose_forward(folder, options, loader.context_of(folder.config, family, 2048))
        read_tokenizer(folder, options)
    except LacunaError as error:
        assert "\n" not in str(error)  # noqa: PT017


@given(METADATA, STORED)
def test_any_metadata_is_a_row_of_the_list(
    file: Path, metadata: dict[str, Any], tensors: dict[str, tuple[list[int], int]]
) -> None:
    written(file, {**SOUND, **metadata}, tensors)
    rows = on_disk(replace(ModelOptions(device="cpu"), model=str(file)))
    assert rows[-1].name == str(file)
    assert not rows[0].problem
