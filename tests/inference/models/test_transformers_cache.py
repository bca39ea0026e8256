"""Caches with states that the library cannot roll back: the logits are those of a full pass, few tokens are read."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from helpers import HYBRID, tiny_model

from lacuna_inference.api import CancelToken
from lacuna_inference.cache.prefix_cache import PrefixCache
from lacuna_inference.errors import ModelUnusable
from lacuna_inference.forward import PREFILL_CHUNK
from lacuna_inference.models import transformers_cache
from lacuna_inference.models.transformers_forward import TransformersForward

CLOSE = 5e-4
"""The library's own two ways of reading gated DeltaNet, as a whole and token by token, differ by up to 1e-4."""


def hybrid(kind: str) -> Any:
    return tiny_model(kind, shape=HYBRID[kind])


@pytest.fixture(scope="module", params=[*HYBRID, "starcoder2"])
def model(request: pytest.FixtureRequest) -> Any:
    """One with a sliding window, too: once it is full, it has forgotten what precedes it."""
    return tiny_model("starcoder2", sliding_window=8) if request.param == "starcoder2" else hybrid(request.param)


def full_logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.tensor([list(ids)])).logits[0]
    return logits


def tokens(rng: random.Random, count: int) -> list[int]:
    return [rng.randrange(10, 290) for _ in range(count)]


def test_logits_are_those_of_a_full_pass_whatever_is_read_and_rolled_back(model: Any) -> None:
    rng, forward = random.Random(1), TransformersForward(model)
    kv_cache, held = forward.new_kv_cache(), list[int]()
    for _ in range(30):
        ids = tokens(rng, rng.choice([1, 1, 3, 8, 20, 33]))
        count = rng.randrange(1, len(ids) + 1)
        logits = forward.step(ids, kv_cache, count)
        held += ids
        assert kv_cache.length == len(held)
        assert (logits - full_logits(model, held)[-count:]).abs().max() <= CLOSE
        if rng.random() < 0.4 or len(held) > 150:
            wanted = rng.randrange(max(0, len(held) - 60), len(held) + 1)
            kept = kv_cache.rollback(wanted)
            assert kept == kv_cache.length <= wanted
            del held[kept:]


def typed(prefix: list[int], suffix: list[int], suffix_last: bool) -> Iterator[tuple[str, list[int]]]:
    """The prompts of keys in three lines, one token each, with the kind of key."""
    rng = random.Random(2)
    for line in range(3):
        written: list[int] = []
        for key in range(8):
            kind = "first" if line == key == 0 else "new line" if key == 0 else "key"
            yield kind, [2, *prefix, 3, *suffix, 4, *written] if suffix_last else [3, *suffix, 2, *prefix, *written]
            written += tokens(rng, 1)
        prefix = prefix + written


def evaluated(model: Any, suffix_last: bool) -> dict[str, list[int]]:
    """Tokens that the model reads for each key, by its kind; every answer has four tokens."""
    cache, read, rng = PrefixCache(TransformersForward(model)), dict[str, list[int]](), random.Random(3)
    for kind, prompt in typed(tokens(rng, 2 * PREFILL_CHUNK + 90), tokens(rng, 60), suffix_last):
        before, ids = cache.counts.evaluated, list(prompt)
        for _ in range(4):
            ids.append(int(cache.compute_logits_after(ids, CancelToken()).argmax()))
        read.setdefault(kind, []).append(cache.counts.evaluated - before)
    return read


@pytest.mark.parametrize("kind", ["qwen3_5_text", "granitemoehybrid", "falcon_h1", "lfm2"])
@pytest.mark.parametrize("suffix_last", [True, False])
def test_a_key_costs_its_own_tokens_and_a_new_line_the_suffix(kind: str, suffix_last: bool) -> None:
    read = evaluated(hybrid(kind), suffix_last)
    assert read["first"] > [2 * PREFILL_CHUNK]
    assert max(read["key"]) <= 16
    first, *later = read["new line"]
    assert first <= (PREFILL_CHUNK + 90 if suffix_last else 16)
    assert max(later) <= (90 if suffix_last else 16)


def test_without_snapshots_every_key_reads_the_whole_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers_cache, "MAX_SNAPSHOTS", 0)
    monkeypatch.setattr(
        transformers_cache.TransformersCache, "read", lambda self, count: setattr(self, "length", self.length + count)
    )
    assert min(evaluated(hybrid("qwen3_5_text"), suffix_last=True)["key"]) > 2 * PREFILL_CHUNK


def test_snapshots_are_few_and_counted_and_spread_over_the_text() -> None:
    forward, rng = TransformersForward(hybrid("qwen3_5_text")), random.Random(0)
    kv_cache = forward.new_kv_cache()
    sizes = []
    for _ in range(10):
        forward.step(tokens(rng, 40), kv_cache)
        sizes.append(kv_cache.nbytes)
    for _ in range(transformers_cache.SPACING):
        forward.step(tokens(rng, 1), kv_cache)
    positions = [snapshot.position for snapshot in kv_cache._snapshots]
    assert len(positions) == transformers_cache.MAX_SNAPSHOTS
    assert positions[0] <= 200
    assert positions[-1] == 400 + transformers_cache.SPACING
    state = kv_cache._snapshots[0].nbytes
    assert sizes[0] > 2 * state
    assert sizes[9] < sizes[0] + 9 * (sizes[0] - 2 * state) + transformers_cache.MAX_SNAPSHOTS * state


def test_models_that_need_none_have_no_snapshots() -> None:
    forward = TransformersForward(tiny_model("qwen2"))
    kv_cache = forward.new_kv_cache()
    forward.step(list(range(10, 60)), kv_cache)
    assert kv_cache._snapshots == []
    assert kv_cache.rollback(33) == 33


def test_a_rolled_back_cache_computes_what_it_computed_before(model: Any) -> None:
    """To the last bit: snapshots are not overwritten by what is read after them."""
    forward, rng = TransformersForward(model), random.Random(5)
    kv_cache, prompt, extra = forward.new_kv_cache(), tokens(rng, 30), tokens(rng, 7)
    forward.step(prompt, kv_cache)
    expected = forward.step(extra, kv_cache, 7)
    for _ in range(2):
        forward.step(tokens(rng, 9), kv_cache)
        assert kv_cache.rollback(len(prompt)) == len(prompt)
        assert torch.equal(forward.step(extra, kv_cache, 7), expected)


def test_a_model_that_forgets_its_state_is_read_token_by_token(caplog: pytest.LogCaptureFixture) -> None:
    model, rng = hybrid("jamba"), random.Random(6)
    forward, ids = TransformersForward(model), tokens(rng, 24)
    kv_cache = forward.new_kv_cache()
    forward.step(ids[:12], kv_cache)
    assert (forward.step(ids[12:], kv_cache, 12) - full_logits(model, ids)[12:]).abs().max() <= CLOSE
    assert "token by token" in caplog.text


def test_a_model_that_does_not_use_the_cache_is_refused() -> None:
    forward = TransformersForward(tiny_model("llama"))
    forward._cache_name = "another_cache"
    with pytest.raises(ModelUnusable, match="LlamaForCausalLM keeps what it has read in a way of its own"):
        forward.step([1, 2, 3], forward.new_kv_cache())
