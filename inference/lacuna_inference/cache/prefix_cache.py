"""What the model's KV cache holds, token by token, and how a new prompt makes use of it.

A store keeps more than the prompt: also the tokens that were written behind it, and the logits after each. So a prompt
that goes on along an answer that was given (a user who types what was suggested) needs no forward pass at all, and one
that leaves it needs one. Drafts need no machinery of their own either: they are tokens that were stored early, and
when the decode loop arrives at them, their logits are there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import Tensor

from lacuna_inference.api import CancelToken
from lacuna_inference.cache.counts import Work
from lacuna_inference.errors import RequestCancelled
from lacuna_inference.forward import MOST_ROWS, PREFILL_CHUNK, Forward, KVCache, Step, Steps, driven

Draft = Callable[[], list[int]]
"""Guesses which tokens come next; none, perhaps."""


class PrefixStore:
    """The tokens of one slot, with the logits after some of them."""

    def __init__(self, forward: Forward, work: Work | None = None) -> None:
        """`work` is counted on; whoever borrows the store may put its own there."""
        self._forward = forward
        self._slot: KVCache = forward.slot()
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
