"""The prefix caches of the most recently used documents, within a memory budget; and of others, on the disk."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, TypeAlias

from torch import Tensor

from lacuna_inference.cache.counts import TokenCounts
from lacuna_inference.cache.disk import DiskCaches
from lacuna_inference.cache.kv_file import Header
from lacuna_inference.cache.prefix_cache import PrefixCache, common_prefix
from lacuna_inference.errors import BadRequest, RequestCancelled
from lacuna_inference.forward import IDLE_CHUNK, PREFILL_CHUNK, Forward, exporting


class Use(IntEnum):
    """What a document's cache is for."""

    ANSWERS = 0
    PREFETCH = 1
    """Prefetching, and narrow prompts."""
    SUCCESSOR = 2
    """The prompt that is shown next: it is read while answers come from the present one."""


_CacheKey: TypeAlias = tuple[str | int, Use]
"""A document's id, or a number for requests without one."""
_MIN_SHARE = 4
"""A cache without a document serves a prompt if it holds at least 1/4 of the prompt."""
IN_USE_S = 600.0
"""Seconds after a request in which its cache is not given up for a document that was only opened."""
_WITH_LOGITS = 4
"""Caches that keep logits: those of the document that is edited, and of one more."""
MIN_SAVED_TOKENS = 64
"""Fewer tokens are read as quickly as they are loaded from the disk."""
MIN_COPIED_TOKENS = 16
"""Fewer tokens are not copied from another document's cache."""


class PrefixCachePool:
    """Prefix caches of the most recently used documents, as many as fit in `budget` bytes, at least one.

    A document has one for each `Use`. Requests without a document share the rest. Busy caches are never evicted.
    """

    def __init__(self, forward: Forward, budget: int = 512 * 2**20, disk: DiskCaches | None = None) -> None:
        """`disk` has caches of documents that are not in memory, if it is given."""
        self.forward, self.disk = forward, disk
        self._budget = budget
        self._caches: OrderedDict[_CacheKey, PrefixCache] = OrderedDict()
        self._anonymous = 0
        self._spare: list[Tensor] = []
        """Memory for logits."""
        self.counts = TokenCounts()
        """Of all finished requests."""

    @property
    def nbytes(self) -> int:
        """Bytes of all caches together."""
        return sum(cache.nbytes for cache in self._caches.values())

    @property
    def kv_nbytes(self) -> int:
        """Bytes of the KV caches alone, without logits."""
        return sum(cache.kv_cache.nbytes for cache in self._caches.values())

    def cache_for(
        self, document_id: str | None, ids: Sequence[int], use: Use = Use.ANSWERS, ahead: bool = False
    ) -> PrefixCache:
        """The cache of a document for the prompt `ids`. Answers get the one that holds most of the prompt, unless the
        prompt is read `ahead`.

        Without a document it is an idle cache that holds the beginning of the prompt, or a new one. A new one begins
        with a copy of what another has in common with the prompt.
        """
        if document_id is None:
            key = self._best_match(ids)
        else:
            if use is Use.ANSWERS and not ahead:
                self._exchange(document_id, ids)
            key = document_id, use
        if key not in self._caches:
            evicted = self._evicted()
            self._caches[key] = self._loaded(key, ids) or self._copied(ids) or evicted or self._new()
        self._caches.move_to_end(key)
        return self._caches[key]

    def of_documents(self) -> Iterator[tuple[str, PrefixCache]]:
        """The idle caches that answered requests of documents, the most recently used first."""
        for (document_id, use), cache in reversed(list(self._caches.items())):
            if isinstance(document_id, str) and use is Use.ANSWERS and not cache.busy and cache.used_at:
                yield document_id, cache

    def on_disk(self, document_id: str | None) -> Header | None:
        """What is saved of a document that has no cache in memory; None if nothing is."""
        if self.disk is None or document_id is None or (document_id, Use.ANSWERS) in self._caches:
            return None
        return self.disk.find(document_id)

    @contextmanager
    def lease(
        self,
        document_id: str | None,
        ids: Sequence[int],
        use: Use,
        counts: TokenCounts,
        idle: bool = False,
        ahead: bool = False,
    ) -> Iterator[PrefixCache]:
        """The cache for a prompt, held exclusively by one request that counts its cost in `counts`.

        While `idle`, its steps are short; `ahead` of the first request, its time of use stays as it is. If the request
        fails during a step, the cache's content is unreliable, so the cache is dropped.
        """
        cache = self.cache_for(document_id, ids, use, ahead)
        cache.busy, cache.counts, cache.chunk = True, counts, IDLE_CHUNK if idle else PREFILL_CHUNK
        cache.used_at = cache.used_at if ahead and use is Use.ANSWERS else time.monotonic()
        try:
            yield cache
        except (RequestCancelled, BadRequest):  # raised between two steps
            raise
        except BaseException:
            self._drop(cache)
            raise
        finally:
            cache.busy = False
            self._bound_logits()

    def has_room(self) -> bool:
        """Whether one more cache fits without evicting another."""
        largest = max((cache.nbytes for cache in self._caches.values()), default=0)
        return self.nbytes + largest <= self._budget or not self._caches

    def held(self, document_id: str, ids: Sequence[int]) -> int:
        """How many of the first tokens of `ids` a document's caches hold, in memory or on the disk."""
        caches = [self._caches[key] for key in _keys(document_id) if key in self._caches]
        held = max((cache.common_prefix(ids) for cache in caches), default=0)
        saved = self.on_disk(document_id)
        return held if saved is None else max(held, common_prefix(saved.tokens, ids))

    def has_room_for(self, count: int) -> bool:
        """Whether so many caches of a document fit, if others are evicted."""
        return count * max((cache.nbytes for cache in self._caches.values()), default=0) <= self._budget

    def make_room_ahead(self, document_id: str) -> bool:
        """Whether a document has a cache, or can get one without evicting one in use, because it was only opened."""
        if any(key in self._caches for key in _keys(document_id)) or self.has_room():
            return True
        unused_since = time.monotonic() - IN_USE_S
        idle = [(key, cache) for key, cache in self._caches.items() if not cache.busy]
        for key, cache in idle:
            (owner, use), unused = key, cache.used_at < unused_since
            if unused or use is not Use.ANSWERS or isinstance(owner, int):
                del self._caches[key]
            if self.has_room():
                return True
        return False

    def has_room_beside_busy(self) -> bool:
        """Whether one more cache fits beside the busy ones if all of them grow to the size of the largest."""
        sizes = [cache.nbytes for cache in self._caches.values()]
        busy = sum(cache.busy for cache in self._caches.values())
        return not busy or (busy + 1) * max(sizes) <= self._budget

    def clear(self) -> None:
        """Drops all caches that are not busy and frees their memory."""
        for key in [key for key, cache in self._caches.items() if not cache.busy]:
            del self._caches[key]
        self._spare.clear()

    def _new(self, kv_cache: Any = None, tokens: Sequence[int] = ()) -> PrefixCache:
        return PrefixCache(self.forward, self.counts, kv_cache, tokens, self._spare)

    def _bound_logits(self) -> None:
        """Drops the logits of all but the most recently used caches: those of many documents would take more memory
        than their keys and values."""
        for other in list(self._caches.values())[:-_WITH_LOGITS]:
            if not other.busy:
                other.drop_logits()
        del self._spare[1:]

    def _drop(self, cache: PrefixCache) -> None:
        for key in [key for key, other in self._caches.items() if other is cache]:
            del self._caches[key]

    def _exchange(self, document_id: str, ids: Sequence[int]) -> None:
        """Makes the cache that holds most of the prompt the one for answers."""
        present = [key for key in _keys(document_id) if key in self._caches]
        best = max(present, key=lambda key: self._caches[key].common_prefix(ids), default=None)
        if best is not None and best != (document_id, Use.ANSWERS):
            self._swap((document_id, Use.ANSWERS), best)

    def _best_match(self, ids: Sequence[int]) -> _CacheKey:
        """The key of the idle cache without a document that holds most of `ids`, or a new key."""
        idle = [
            (cache.common_prefix(ids), key)
            for key, cache in self._caches.items()
            if isinstance(key[0], int) and not cache.busy
        ]
        held, key = max(idle, default=(0, None), key=lambda match: match[0])
        if key is not None and (held * _MIN_SHARE >= len(ids) or not self.has_room()):
            return key
        self._anonymous += 1
        return (self._anonymous, Use.ANSWERS)

    def _loaded(self, key: _CacheKey, ids: Sequence[int]) -> PrefixCache | None:
        """A document's cache from the disk, if it holds enough of the prompt."""
        document_id, use = key
        if self.disk is None or not isinstance(document_id, str) or use is not Use.ANSWERS:
            return None
        header = self.disk.find(document_id)
        if header is None or common_prefix(header.tokens, ids) < MIN_SAVED_TOKENS:
            return None
        kv_cache = self.disk.load(document_id, header)
        return None if kv_cache is None else self._new(kv_cache, header.tokens)

    def _copied(self, ids: Sequence[int]) -> PrefixCache | None:
        """A copy of the longest beginning of the prompt that an idle cache holds, if it is worth it."""
        forward = exporting(self.forward)
        idle = [cache for cache in self._caches.values() if not cache.busy]
        source = max(idle, default=None, key=lambda cache: cache.common_prefix(ids))
        if forward is None or source is None or (held := source.common_prefix(ids)) < MIN_COPIED_TOKENS:
            return None
        copy = self._new(forward.import_kv(forward.export_kv(source.kv_cache, held), held), ids[:held])
        copy.saved = ()
        return copy

    def _swap(self, one: _CacheKey, other: _CacheKey) -> None:
        first, second = self._caches.pop(one, None), self._caches.pop(other, None)
        self._caches |= {key: cache for key, cache in ((one, second), (other, first)) if cache is not None}

    def _evicted(self) -> PrefixCache | None:
        """The least recently used idle cache, emptied, if one more would not fit; first those that were never used."""
        if self.has_room():
            return None
        idle = [key for key, cache in self._caches.items() if not cache.busy]
        key = min(idle, key=lambda key: self._caches[key].used_at, default=None)
        if key is None:
            return None
        cache = self._caches.pop(key)
        cache.clear()
        cache.counts = self.counts
        return cache


def _keys(document_id: str) -> tuple[_CacheKey, ...]:
    """The keys of a document's caches, that for answers first."""
    return tuple((document_id, use) for use in Use)
