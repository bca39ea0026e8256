"""The prefix caches of the documents that were asked for last, within a budget of memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from lacuna_inference.cache.counts import TokenCounts
from lacuna_inference.cache.prefix_cache import PrefixCache
from lacuna_inference.errors import BadRequest, RequestCancelled
from lacuna_inference.forward import Forward

_CacheKey: TypeAlias = tuple[str | int, bool]
"""Of a document, or a number for requests that have none; and whether it was read ahead."""
_MIN_SHARE = 4
"""A store without a document serves a prompt when it holds this part of it."""


class PrefixCachePool:
    """Stores for the documents that were asked for last, as many as `budget` bytes hold, one at least.

    A document has one for what is asked and one for what may be asked next (`ahead`). Requests without a document share
    some. Stores that are busy stay.
    """

    def __init__(self, forward: Forward, budget: int = 512 * 2**20) -> None:
        self.forward = forward
        self._budget = budget
        self._caches: OrderedDict[_CacheKey, PrefixCache] = OrderedDict()
        self._anonymous = 0
        self.counts = TokenCounts()
        """Of all requests that are over."""

    @property
    def nbytes(self) -> int:
        """What all of them hold."""
        return sum(store.nbytes for store in self._caches.values())

    def cache_for(self, document_id: str | None, ids: Sequence[int], is_prefetch: bool = False) -> PrefixCache:
        """The store of the document `key` for the prompt `ids`: when what was read ahead fits better, it is that.

        Without a key it is one that holds the beginning of the prompt and is not busy.
        """
        place = self._best_match(ids) if document_id is None else self._key_of(document_id, ids, is_prefetch)
        if place not in self._caches:
            self._caches[place] = self._evicted() or PrefixCache(self.forward, self.counts)
        self._caches.move_to_end(place)
        return self._caches[place]

    @contextmanager
    def lease(
        self, document_id: str | None, ids: Sequence[int], is_prefetch: bool, counts: TokenCounts
    ) -> Iterator[PrefixCache]:
        """The store `of` a prompt, for one request that counts its work in `work`; nobody else gets it meanwhile.

        When the request fails in the middle of a step, what the store holds cannot be relied on: it is forgotten.
        """
        store = self.cache_for(document_id, ids, is_prefetch)
        store.busy, store.counts = True, counts
        try:
            yield store
        except (RequestCancelled, BadRequest):  # raised between two steps
            raise
        except BaseException:
            self._forget(store)
            raise
        finally:
            store.busy = False

    def has_room(self) -> bool:
        """Whether one more store fits without another giving way."""
        largest = max((store.nbytes for store in self._caches.values()), default=0)
        return self.nbytes + largest <= self._budget or not self._caches

    def has_room_beside_busy(self) -> bool:
        """Whether one more store can be busy at the same time as those that are, should all become as large as any."""
        sizes = [store.nbytes for store in self._caches.values()]
        busy = sum(store.busy for store in self._caches.values())
        return not busy or (busy + 1) * max(sizes) <= self._budget

    def clear(self) -> None:
        """Forgets all that are not busy and gives their memory back."""
        for place in [place for place, store in self._caches.items() if not store.busy]:
            del self._caches[place]

    def _forget(self, cache: PrefixCache) -> None:
        for place in [place for place, held in self._caches.items() if held is cache]:
            del self._caches[place]

    def _key_of(self, document_id: str, ids: Sequence[int], is_prefetch: bool) -> _CacheKey:
        main, spare = (document_id, False), (document_id, True)
        if not is_prefetch and spare in self._caches:
            held = self._caches[main].common_prefix(ids) if main in self._caches else -1
            if self._caches[spare].common_prefix(ids) > held:
                self._swap(main, spare)
        return spare if is_prefetch else main

    def _best_match(self, ids: Sequence[int]) -> _CacheKey:
        free = [
            (store.common_prefix(ids), place)
            for place, store in self._caches.items()
            if isinstance(place[0], int) and not store.busy
        ]
        held, place = max(free, default=(0, None), key=lambda found: found[0])
        if place is not None and (held * _MIN_SHARE >= len(ids) or not self.has_room()):
            return place
        self._anonymous += 1
        return (self._anonymous, False)

    def _swap(self, one: _CacheKey, other: _CacheKey) -> None:
        first, second = self._caches.pop(one, None), self._caches.pop(other, None)
        self._caches |= {place: store for place, store in ((one, second), (other, first)) if store is not None}

    def _evicted(self) -> PrefixCache | None:
        """An emptied store, when one more would not fit: the one that was not used for the longest time."""
        if self.has_room():
            return None
        place = next((place for place, store in self._caches.items() if not store.busy), None)
        if place is None:
            return None
        store = self._caches.pop(place)
        store.clear()
        store.counts = self.counts
        return store
