"""What the model's KV cache holds, token by token, and how a new prompt makes use of it.

A store keeps more than the prompt: also the tokens that were written behind it, and the logits after each. So a prompt
that goes on along an answer that was given (a user who types what was suggested) needs no forward pass at all, and one
that leaves it needs one. Drafts need no machinery of their own either: they are tokens that were stored early, and
when the decode loop arrives at them, their logits are there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from torch import Tensor

from lacuna_inference.api import CancelToken
from lacuna_inference.errors import BadRequest, RequestCancelled

PREFILL_CHUNK = 256
"""Tokens of one prefill step; cancel is looked at between two of them."""
MOST_ROWS = 128
"""Positions whose logits are kept."""


Draft = Callable[[], list[int]]
"""Guesses which tokens come next; none, perhaps."""
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Step:
    """Tokens to append to a slot; logits are wanted after each of the last `rows` of them."""

    ids: Sequence[int]
    slot: Any
    rows: int = 1


Steps: TypeAlias = Generator[Step, Tensor, _Result]
"""Work that names the steps it needs, and is sent the logits [rows, vocabulary] of each: whoever drives it may take
the steps of several in one pass."""


class Slot(Protocol):
    """The KV cache of one sequence; `held` tokens are in it, positions follow from it."""

    @property
    def held(self) -> int: ...

    @property
    def bytes(self) -> int: ...

    def rollback(self, length: int) -> int:
        """Forgets everything behind the first `length` tokens, or more; how many it kept."""
        ...


class Forward(Protocol):
    """A model that reads tokens into slots. `widest_draft` tokens more cost little more than one."""

    @property
    def widest_draft(self) -> int: ...

    def slot(self) -> Any:
        """A new, empty slot."""
        ...

    def step(self, ids: Sequence[int], slot: Any, rows: int = 1) -> Tensor:
        """Appends `ids` to `slot`; logits [rows, vocabulary] after each of the last `rows` of them."""
        ...

    def together(self, asked: Sequence[Step]) -> list[Tensor] | None:
        """Several steps, of different slots, in one pass; None where each must be done by itself.

        After a failure none was done.
        """
        ...


def driven(steps: Steps[_Result], forward: Forward) -> _Result:
    """Does `steps` with `forward`, one after the other."""
    try:
        step = next(steps)
        while True:
            step = steps.send(forward.step(step.ids, step.slot, step.rows))
    except StopIteration as end:
        result: _Result = end.value
        return result
    finally:
        steps.close()


@dataclass(slots=True)
class Work:
    """What was done so far, in tokens and forward passes.

    `evaluated` are all tokens that the model read, the `drafted` ones among them, of which `accepted` came true.
    `reused` are tokens of prompts that it had read before.
    """

    reused: int = 0
    evaluated: int = 0
    passes: int = 0
    drafted: int = 0
    accepted: int = 0

    def since(self, before: Work) -> Work:
        return Work(*(getattr(self, name) - getattr(before, name) for name in self.__slots__))

    def copy(self) -> Work:
        return self.since(Work())

    def add(self, other: Work) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class PrefixStore:
    """The tokens of one slot, with the logits after some of them."""

    def __init__(self, forward: Forward, work: Work | None = None) -> None:
        """`work` is counted on; whoever borrows the store may put its own there."""
        self._forward = forward
        self._slot: Slot = forward.slot()
        self._tokens: list[int] = []
        self._logits = _Rows()
        self._early = range(0)
        self._drafts = True
        self.work = work or Work()
        self.answer: list[int] = []
        """Tokens of the last answer that was written here, with some before it."""
        self.busy = False
        """Somebody writes an answer here."""

    @property
    def tokens(self) -> tuple[int, ...]:
        return tuple(self._tokens)

    @property
    def bytes(self) -> int:
        """Memory of the slot and of the logits that may be kept."""
        return self._slot.bytes + self._logits.bytes

    def after(self, ids: Sequence[int], cancel: CancelToken, draft: Draft | None = None) -> Tensor:
        """As `reading`, at once."""
        return driven(self.reading(ids, cancel, draft), self._forward)

    def reading(self, ids: Sequence[int], cancel: CancelToken, draft: Draft | None = None) -> Steps[Tensor]:
        """Logits [vocabulary] after `ids`, which must not be empty.

        What the store holds of it costs nothing. Where a forward pass is needed, `draft` is asked for a guess of what
        comes next, which is read in the same pass. After RequestCancelled the chunks that were done stay.
        """
        if not ids:
            raise ValueError("a prompt holds at least one token")
        length = len(ids)
        common = self.common(ids)
        if common == length and length in self._logits:
            if length - 1 in self._early:
                self._early = range(length, self._early.stop)
                self.work.accepted += 1
            return self._logits[length]
        self._rollback(min(common, length - 1))
        while len(self._tokens) < length:
            if cancel.cancelled:
                raise RequestCancelled
            held = len(self._tokens)
            chunk = list(ids[held : held + PREFILL_CHUNK])
            last = held + len(chunk) == length
            yield from self._read(chunk, draft() if draft and last and self._drafts else [])
        return self._logits[length]

    def common(self, ids: Sequence[int]) -> int:
        """How many of the first tokens of `ids` are held."""
        count = min(len(self._tokens), len(ids))
        if self._tokens[:count] == list(ids[:count]):
            return count
        return next(n for n, (held, asked) in enumerate(zip(self._tokens, ids, strict=False)) if held != asked)

    def clear(self) -> None:
        """Forgets everything, also after a step that failed half way."""
        self.answer = []
        self._slot.rollback(0)
        self._tokens.clear()
        self._logits.clear()
        self._early = range(0)

    def _read(self, ids: list[int], draft: list[int]) -> Steps[None]:
        held = len(self._tokens)
        logits = yield Step([*ids, *draft], self._slot, 1 + len(draft))
        self._tokens += ids
        self._tokens += draft
        first = held + len(ids)
        for number, row in enumerate(logits):
            self._logits.put(first + number, row)
        self._early = range(first, first + len(draft))
        self.work.evaluated += len(ids) + len(draft)
        self.work.drafted += len(draft)
        self.work.passes += 1

    def _rollback(self, length: int) -> None:
        """Keeps at most the first `length` tokens. A cache that cannot go back gets no more drafts."""
        if length >= len(self._tokens):
            return
        kept = self._slot.rollback(length)
        self._drafts = self._drafts and kept == length
        del self._tokens[kept:]
        self._logits.forget_behind(kept)


class _Rows:
    """The logits after the positions that were read last, in one piece of memory: as many tensors would scatter."""

    def __init__(self) -> None:
        self._memory: Tensor | None = None
        self._places: OrderedDict[int, int] = OrderedDict()
        self._free: list[int] = []

    @property
    def bytes(self) -> int:
        return 0 if self._memory is None else self._memory.nbytes

    def __contains__(self, position: int) -> bool:
        return position in self._places

    def __getitem__(self, position: int) -> Tensor:
        """Logits [vocabulary]; they stay until `MOST_ROWS` others were put."""
        assert self._memory is not None
        return self._memory[self._places[position]]

    def put(self, position: int, row: Tensor) -> None:
        if self._memory is None:
            self._memory = row.new_empty((MOST_ROWS, *row.shape))
            self._free = list(range(MOST_ROWS))
        place = self._places.pop(position, None)
        if place is None:
            place = self._free.pop() if self._free else self._places.popitem(last=False)[1]
        self._memory[place] = row
        self._places[position] = place

    def forget_behind(self, position: int) -> None:
        """Forgets what is behind `position`."""
        for behind in [known for known in self._places if known > position]:
            self._free.append(self._places.pop(behind))

    def clear(self) -> None:
        self.forget_behind(-1)


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
