"""What the caches of a pool keep, and what a new one takes from them."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from helpers import TINY, scripted_decoder, tiny_model

from lacuna_inference.api import CancelToken
from lacuna_inference.cache.counts import TokenCounts
from lacuna_inference.cache.pool import MIN_COPIED_TOKENS, PrefixCachePool, Use
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.architectures.registry import ForwardSpec
from lacuna_inference.models.forward.network import KVTensor, OwnForward


def passes(pool: PrefixCachePool, document: str) -> int:
    """Forward passes for the same prompt in `document`."""
    counts = TokenCounts()
    with pool.lease(document, [1, 2, 3], Use.ANSWERS, counts) as leased:
        leased.compute_logits_after([1, 2, 3], CancelToken())
    return counts.passes


def test_only_the_last_documents_keep_logits() -> None:
    pool = PrefixCachePool(scripted_decoder("x").caches.forward)
    documents = [f"file:///{number}.py" for number in range(10)]
    for document in documents:
        assert passes(pool, document) == 1
    kept = [cache for _, cache in pool.of_documents() if cache._logits.nbytes]
    assert 1 <= len(kept) <= 4
    assert passes(pool, documents[-1]) == 0  # the logits are there
    assert passes(pool, documents[0]) == 1  # its last token is read again
    assert passes(pool, documents[0]) == 0


BEGINNING = list(range(10, 10 + 2 * MIN_COPIED_TOKENS))


@cache
def network() -> OwnForward:
    model = tiny_model("llama")
    spec = ForwardSpec(torch.float32, torch.device("cpu"), 128)
    return registry.build({**TINY["llama"], **model.config.to_dict()}, model.state_dict(), spec)


def of_a_network() -> PrefixCachePool:
    """A pool whose KV caches can be copied."""
    return PrefixCachePool(network())


def evaluated(pool: PrefixCachePool, document: str | None, ids: list[int]) -> int:
    """How many tokens the model read to know what follows `ids`."""
    counts = TokenCounts()
    with pool.lease(document, ids, Use.ANSWERS, counts) as leased:
        leased.compute_logits_after(ids, CancelToken())
    return counts.evaluated


def test_a_new_document_takes_the_beginning_that_another_one_has() -> None:
    pool = of_a_network()
    assert evaluated(pool, "a", [*BEGINNING, 1, 2]) == len(BEGINNING) + 2
    assert evaluated(pool, "b", [*BEGINNING, 3, 4, 5]) == 3
    assert evaluated(pool, None, [*BEGINNING, 6]) == 1


def test_a_copy_gives_the_logits_of_a_prompt_that_was_read() -> None:
    pool, other, prompt = of_a_network(), of_a_network(), [*BEGINNING, 3, 4, 5]
    evaluated(pool, "a", [*BEGINNING, 1, 2])
    copied = pool.cache_for("b", prompt).compute_logits_after(prompt, CancelToken())
    whole = other.cache_for("b", prompt).compute_logits_after(prompt, CancelToken())
    assert pool.counts.evaluated < other.counts.evaluated
    torch.testing.assert_close(copied, whole)


def test_the_source_of_a_copy_stays_as_it_is() -> None:
    pool = of_a_network()
    evaluated(pool, "a", [*BEGINNING, 1, 2])
    evaluated(pool, "b", [*BEGINNING, 3])
    assert evaluated(pool, "a", [*BEGINNING, 1, 2]) == 0


def test_a_copy_is_not_taken_for_saved() -> None:
    pool = of_a_network()
    evaluated(pool, "a", BEGINNING)
    assert pool.cache_for("b", [*BEGINNING, 1]).saved == ()


def test_a_short_beginning_and_a_busy_cache_are_not_copied() -> None:
    pool = of_a_network()
    short = BEGINNING[: MIN_COPIED_TOKENS - 1]
    evaluated(pool, "a", [*short, 1])
    assert evaluated(pool, "b", [*short, 2]) == len(short) + 1
    with pool.lease("c", BEGINNING, Use.ANSWERS, TokenCounts()) as leased:
        leased.compute_logits_after(BEGINNING, CancelToken())
        assert pool.cache_for("d", BEGINNING).tokens == ()


def test_only_what_is_shared_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, forward = of_a_network(), network()
    lengths: list[int | None] = []
    export = type(forward).export_kv

    def counting(own: OwnForward, kv_cache: KVTensor, length: int | None = None) -> torch.Tensor:
        lengths.append(length)
        return export(own, kv_cache, length)

    monkeypatch.setattr(type(forward), "export_kv", counting)
    evaluated(pool, "a", [*BEGINNING, *range(60)])
    evaluated(pool, "b", [*BEGINNING, 99])
    assert lengths == [len(BEGINNING)]
