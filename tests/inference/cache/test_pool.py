"""Which caches of a pool keep the logits of their last answer."""

from __future__ import annotations

from helpers import scripted_decoder

from lacuna_inference.api import CancelToken
from lacuna_inference.cache.counts import TokenCounts
from lacuna_inference.cache.pool import PrefixCachePool


def passes(pool: PrefixCachePool, document: str) -> int:
    """Forward passes for the same prompt in `document`."""
    counts = TokenCounts()
    with pool.lease(document, [1, 2, 3], False, counts) as cache:
        cache.compute_logits_after([1, 2, 3], CancelToken())
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
