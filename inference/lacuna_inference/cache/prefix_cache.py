"""The tokens in a KV cache, and how a new prompt reuses them.

A prefix cache keeps more than the prompt: also the tokens that were generated after it, and the logits after each. So a
prompt that continues along an earlier answer (a user who types what was suggested) needs no forward pass, and one that
departs from it needs one. Drafts need no separate machinery either: they are tokens that were cached early, and when
the decode loop reaches them, their logits are there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lacuna_inference.api import CancelToken
from lacuna_inference.cache.counts import TokenCounts
from lacuna_inference.errors import RequestCancelled
from lacuna_inference.forward import PREFILL_CHUNK, Forward, KVCache, Step, Steps, cached_logits, run_steps

Draft = Callable[[], list[int]]
"""Returns draft tokens; possibly none."""


class PrefixCache:
    """The tokens of one KV cache, with the logits after some of them."""

    def __init__(
        self,
        forward: Forward,
        counts: TokenCounts | None = None,
        kv_cache: Any = None,
        tokens: Sequence[int] = (),
        spare: list[Tensor] | None = None,
    ) -> None:
        """Costs are added to `counts`, which the request that leases the cache may replace.

        A given `kv_cache` holds these `tokens`. `spare` is memory for logits that caches give up and take.
        """
        self._forward = forward
        self._kv_cache: KVCache = forward.new_kv_cache() if kv_cache is None else kv_cache
        self._tokens: list[int] = list(tokens)
        self._logits = LogitsCache(spare)
        self._draft_span = range(0)
        self._takes_drafts = True
        self.counts = counts or TokenCounts()
        self.answer: list[int] = []
        """Tokens of the last answer generated here, with some before it."""
        self.busy = False
        """A request is using this cache."""
        self.saved: tuple[int, ...] = tuple(tokens)
        """The tokens that a copy on the disk holds."""
        self.used_at = 0.0
        """When a request used it last, on the monotonic clock; 0 if it was only read in advance."""
        self.chunk = PREFILL_CHUNK
        """Tokens of one prefill step at most."""

    @property
    def tokens(self) -> tuple[int, ...]:
        return tuple(self._tokens)

    @property
    def kv_cache(self) -> Any:
        """The forward's KV cache; only to be copied."""
        return self._kv_cache

    @property
    def nbytes(self) -> int:
        """Memory of the KV cache and of the logits."""
        return self._kv_cache.nbytes + self._logits.nbytes

    def compute_logits_after(self, ids: Sequence[int], cancel: CancelToken, draft: Draft | None = None) -> Tensor:
        """As `logits_after`, run to its end."""
        return run_steps(self.logits_after(ids, cancel, draft), self._forward)

    def logits_after(self, ids: Sequence[int], cancel: CancelToken, draft: Draft | None = None) -> Steps[Tensor]:
        """Logits [vocabulary] after `ids`, which must not be empty.

        Cached tokens cost nothing. Where a forward pass is needed, `draft` is called for draft tokens, which are read
        in the same pass. After RequestCancelled the finished chunks stay cached.
        """
        if not ids:
            raise ValueError("a prompt holds at least one token")
        length = len(ids)
        common = self.common_prefix(ids)
        if common == length and length in self._logits:
            if length - 1 in self._draft_span:
                self._draft_span = range(length, self._draft_span.stop)
                self.counts.accepted += 1
            return self._logits[length]
        self._rollback(min(common, length - 1))
        while len(self._tokens) < length:
            if cancel.cancelled:
                raise RequestCancelled
            held = len(self._tokens)
            chunk = list(ids[held : held + self.chunk])
            last = held + len(chunk) == length
            yield from self._read(chunk, draft() if draft and last and self._takes_drafts else [])
        return self._logits[length]

    def logits_along(self, ids: Sequence[int], following: Sequence[int], cancel: CancelToken) -> Steps[Tensor]:
        """Logits [len(following), vocabulary] before each of `following`, which is read after `ids`.

        Neither may be empty. Of what is `following`, nothing stays cached: it is only tried.
        """
        first = (yield from self.logits_after(ids, cancel))[None].clone()
        self._rollback(len(ids))
        if len(following) == 1:
            return first
        others = yield Step(following[:-1], self._kv_cache, len(following) - 1)
        self._tokens += following[:-1]
        self._rollback(len(ids))
        self.counts.evaluated += len(following) - 1
        self.counts.passes += 1
        return torch.cat([first, others])

    @property
    def rolls_back(self) -> bool:
        """Whether the KV cache has always rolled back exactly, so that trying tokens costs no others."""
        return self._takes_drafts

    def common_prefix(self, ids: Sequence[int]) -> int:
        """How many of the first tokens of `ids` are cached."""
        return common_prefix(self._tokens, ids)

    def drop_logits(self) -> None:
        """Frees the memory of the logits: an answer that follows the last one costs one pass over its last token."""
        self._logits.give_up()
        self._draft_span = range(0)

    def clear(self) -> None:
        """Drops everything; valid also after a step that failed midway."""
        self.answer, self.saved, self.used_at = [], (), 0.0
        self._kv_cache.rollback(0)
        self._tokens.clear()
        self._logits.clear()
        self._draft_span = range(0)

    def _read(self, ids: list[int], draft: list[int]) -> Steps[None]:
        held = len(self._tokens)
        logits = yield Step([*ids, *draft], self._kv_cache, 1 + len(draft))
        self._tokens += ids
        self._tokens += draft
        first = held + len(ids)
        for number, row in enumerate(logits):
            self._logits.put(first + number, row)
        self._draft_span = range(first, first + len(draft))
        self.counts.evaluated += len(ids) + len(draft)
        self.counts.drafted += len(draft)
        self.counts.passes += 1

    def _rollback(self, length: int) -> None:
        """Keeps at most the first `length` tokens. A KV cache that cannot roll back exactly gets no more drafts."""
        if length >= len(self._tokens):
            return
        kept = self._kv_cache.rollback(length)
        self._takes_drafts = self._takes_drafts and kept == length
        del self._tokens[kept:]
        self._logits.truncate(kept)


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many of the first tokens are the same."""
    count = min(len(one), len(other))
    if list(one[:count]) == list(other[:count]):
        return count
    return next(n for n, (first, second) in enumerate(zip(one, other, strict=False)) if first != second)


class LogitsCache:
    """The logits after the positions read last, in one block of memory: separate tensors would fragment it.

    Blocks that were given up are used again: memory that is new to the process takes longer to write than a row to
    compute with.
    """

    def __init__(self, spare: list[Tensor] | None = None) -> None:
        self._memory: Tensor | None = None
        self._spare = [] if spare is None else spare
        self._rows: OrderedDict[int, int] = OrderedDict()
        self._free: list[int] = []

    @property
    def nbytes(self) -> int:
        return 0 if self._memory is None else self._memory.nbytes

    def __contains__(self, position: int) -> bool:
        return position in self._rows

    def __getitem__(self, position: int) -> Tensor:
        """Logits [vocabulary], valid until as many others have been put as are kept (`cached_logits`)."""
        assert self._memory is not None
        return self._memory[self._rows[position]]

    def put(self, position: int, row: Tensor) -> None:
        if self._memory is None:
            count = cached_logits(row.nbytes)
            self._memory = self._spare.pop() if self._spare else row.new_empty((count, *row.shape))
            self._free = list(range(count))[::-1]  # what was written first was written most often
        index = self._rows.pop(position, None)
        if index is None:
            index = self._free.pop() if self._free else self._rows.popitem(last=False)[1]
        self._memory[index] = row
        self._rows[position] = index

    def truncate(self, position: int) -> None:
        """Drops the logits after `position`."""
        for later in [known for known in self._rows if known > position]:
            self._free.append(self._rows.pop(later))

    def clear(self) -> None:
        self.truncate(-1)

    def give_up(self) -> None:
        """Drops all, and leaves the memory to another cache."""
        if self._memory is not None:
            self._spare.append(self._memory)
        self._memory, self._rows, self._free = None, OrderedDict(), []
