"""The prefix caches of the documents that were asked for last, within a budget of memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from lacuna_inference.cache.counts import Work
from lacuna_inference.cache.prefix_cache import PrefixStore
from lacuna_inference.errors import BadRequest, RequestCancelled
from lacuna_inference.forward import Forward

_Place: TypeAlias = tuple[str | int, bool]
"""Of a document, or a number for requests that have none; and whether it was read ahead."""
_ALIKE = 4
"""A store without a document serves a prompt when it holds this part of it."""


class Stores:
    """Stores for the documents that were asked for last, as many as `budget` bytes hold, one at least.

    A document has one for what is asked and one for what may be asked next (`ahead`). Requests without a document share
    some. Stores that are busy stay.
    """

    def __init__(self, forward: Forward, budget: int = 512 * 2**20) -> None:
        self.forward = forward
        self._budget = budget
        self._stores: OrderedDict[_Place, PrefixStore] = OrderedDict()
        self._numbered = 0
        self.work = Work()
        """Of all requests that are over."""

    @property
    def bytes(self) -> int:
        """What all of them hold."""
        return sum(store.bytes for store in self._stores.values())

    def of(self, key: str | None, ids: Sequence[int], ahead: bool = False) -> PrefixStore:
        """The store of the document `key` for the prompt `ids`: when what was read ahead fits better, it is that.

        Without a key it is one that holds the beginning of the prompt and is not busy.
        """
        place = self._alike(ids) if key is None else self._place(key, ids, ahead)
        if place not in self._stores:
            self._stores[place] = self._freed() or PrefixStore(self.forward, self.work)
        self._stores.move_to_end(place)
        return self._stores[place]

    @contextmanager
    def borrowed(self, key: str | None, ids: Sequence[int], ahead: bool, work: Work) -> Iterator[PrefixStore]:
        """The store `of` a prompt, for one request that counts its work in `work`; nobody else gets it meanwhile.

        When the request fails in the middle of a step, what the store holds cannot be relied on: it is forgotten.
        """
        store = self.of(key, ids, ahead)
        store.busy, store.work = True, work
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
        largest = max((store.bytes for store in self._stores.values()), default=0)
        return self.bytes + largest <= self._budget or not self._stores

    def has_room_beside_busy(self) -> bool:
        """Whether one more store can be busy at the same time as those that are, should all become as large as any."""
        sizes = [store.bytes for store in self._stores.values()]
        busy = sum(store.busy for store in self._stores.values())
        return not busy or (busy + 1) * max(sizes) <= self._budget

    def clear(self) -> None:
        """Forgets all that are not busy and gives their memory back."""
        for place in [place for place, store in self._stores.items() if not store.busy]:
            del self._stores[place]

    def _forget(self, store: PrefixStore) -> None:
        for place in [place for place, held in self._stores.items() if held is store]:
            del self._stores[place]

    def _place(self, key: str, ids: Sequence[int], ahead: bool) -> _Place:
        main, spare = (key, False), (key, True)
        if not ahead and spare in self._stores:
            held = self._stores[main].common(ids) if main in self._stores else -1
            if self._stores[spare].common(ids) > held:
                self._swap(main, spare)
        return spare if ahead else main

    def _alike(self, ids: Sequence[int]) -> _Place:
        free = [
            (store.common(ids), place)
            for place, store in self._stores.items()
            if isinstance(place[0], int) and not store.busy
        ]
        held, place = max(free, default=(0, None), key=lambda found: found[0])
        if place is not None and (held * _ALIKE >= len(ids) or not self.has_room()):
            return place
        self._numbered += 1
        return (self._numbered, False)

    def _swap(self, one: _Place, other: _Place) -> None:
        first, second = self._stores.pop(one, None), self._stores.pop(other, None)
        self._stores |= {place: store for place, store in ((one, second), (other, first)) if store is not None}

    def _freed(self) -> PrefixStore | None:
        """An emptied store, when one more would not fit: the one that was not used for the longest time."""
        if self.has_room():
            return None
        place = next((place for place, store in self._stores.items() if not store.busy), None)
        if place is None:
            return None
        store = self._stores.pop(place)
        store.clear()
        store.work = self.work
        return store
