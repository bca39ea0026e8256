"""llama.cpp as a forward: the own forward's logits, and KV caches that behave like the own ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gguf_files import as_gguf
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import save_tiny_model

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.forward import Step
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.architectures.registry import ForwardSpec
from lacuna_inference.models.llama_cpp import forward as llama_cpp
from lacuna_inference.models.llama_cpp import library
from lacuna_inference.models.llama_cpp.forward import SEQUENCES, LlamaCppForward, SequenceCache
from lacuna_inference.models.loading import sources

pytest.importorskip("xllamacpp", reason=f"llama.cpp is not installed: {library.INSTALL}")
IDS = [5, 9, 2, 40, 7, 7, 31, 3]
CONTEXT = 64
TOLERANCE = 0.02
"""Of the largest logit: llama.cpp keeps keys and values in fp16."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_gguf(save_tiny_model(tmp_path_factory.mktemp("llama")))


@pytest.fixture(scope="module")
def forward(file: Path) -> LlamaCppForward:
    return llama_cpp.read(file, CONTEXT, gpu=False)


def read(forward: LlamaCppForward, ids: list[int]) -> SequenceCache:
    kv_cache = forward.new_kv_cache()
    forward.step(ids, kv_cache)
    return kv_cache


def near(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max())


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "granite", "gemma", "starcoder2"])
def test_logits_are_those_of_the_own_forward(name: str, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path, name)
    spec = ForwardSpec(torch.float32, torch.device("cpu"), CONTEXT, tuned=False)
    own = registry.read(sources.find(str(folder)), spec)
    other = llama_cpp.read(as_gguf(folder), CONTEXT, gpu=False)
    expected = own.step(IDS, own.new_kv_cache(), len(IDS))
    assert near(other.step(IDS, other.new_kv_cache(), len(IDS)), expected)


def test_a_rollback_forgets_what_followed(forward: LlamaCppForward) -> None:
    kv_cache = read(forward, IDS)
    assert kv_cache.rollback(3) == 3
    found = forward.step([8, 6], kv_cache, 2)
    assert near(found, forward.step([*IDS[:3], 8, 6], forward.new_kv_cache(), 2))
    assert kv_cache.length == 5


def test_more_caches_than_sequences_take_turns(forward: LlamaCppForward) -> None:
    prompts = [[number, *IDS] for number in range(SEQUENCES + 2)]
    caches = [read(forward, prompt) for prompt in prompts]
    for kv_cache, prompt in zip(caches, prompts, strict=True):
        assert near(forward.step([4], kv_cache), forward.step([*prompt, 4], forward.new_kv_cache()))
    assert sum(kv_cache.copy is not None for kv_cache in caches) >= 2


def test_a_cache_that_is_dropped_gives_its_sequence_back(forward: LlamaCppForward) -> None:
    kept = read(forward, IDS)
    for _ in range(2 * SEQUENCES):
        read(forward, IDS)
    assert kept.copy is None


def test_several_caches_are_read_in_one_pass(forward: LlamaCppForward) -> None:
    prompts = [IDS[:3], IDS[2:7]]
    steps = [Step(prompt, forward.new_kv_cache(), 2) for prompt in prompts]
    together = forward.step_batch(steps)
    assert together is not None
    for found, prompt in zip(together, prompts, strict=True):
        assert near(found, forward.step(prompt, forward.new_kv_cache(), 2))
    assert forward.step_batch([Step([1], forward.new_kv_cache()) for _ in range(SEQUENCES + 1)]) is None


def test_a_cache_that_was_saved_goes_on(forward: LlamaCppForward) -> None:
    kv_cache = read(forward, IDS)
    saved = forward.export_kv(kv_cache)
    assert tuple(saved.shape) == forward.kv_shape(len(IDS))
    loaded = forward.import_kv(saved, len(IDS))
    assert torch.equal(forward.step([4], loaded), forward.step([4], kv_cache))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, SEQUENCES + 1), st.integers(0, 9), st.integers(1, 9)), max_size=12))
def test_caches_keep_their_own_tokens(forward: LlamaCppForward, moves: list[tuple[int, int, int]]) -> None:
    """Whatever they read, and however far they are taken back."""
    caches = [forward.new_kv_cache() for _ in range(SEQUENCES + 2)]
    held: list[list[int]] = [[] for _ in caches]
    for number, length, token in moves:
        kept = caches[number].rollback(length)
        assert kept == min(length, len(held[number]))
        held[number] = [*held[number][:kept], token]
        found = forward.step([token], caches[number])
        assert near(found, forward.step(held[number], forward.new_kv_cache()))


def test_too_many_tokens_are_refused_and_none_is_kept(forward: LlamaCppForward) -> None:
    kv_cache = read(forward, IDS)
    with pytest.raises(RuntimeError, match="could not read"):
        forward.step([1] * 4 * CONTEXT, kv_cache)
    assert near(forward.step([4], kv_cache), forward.step([*IDS, 4], forward.new_kv_cache()))


def test_a_file_that_it_cannot_load_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelUnusable, match=r"xllamacpp .+ cannot load .*broken\.gguf"):
        llama_cpp.read(broken, CONTEXT, gpu=False)
