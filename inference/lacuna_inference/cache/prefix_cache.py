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
from lacuna_inference.cache.counts import TokenCounts
from lacuna_inference.errors import RequestCancelled
from lacuna_inference.forward import MAX_CACHED_LOGITS, PREFILL_CHUNK, Forward, KVCache, Step, Steps, run_steps

Draft = Callable[[], list[int]]
"""Guesses which tokens come next; none, perhaps."""


class PrefixCache:
    """The tokens of one slot, with the logits after some of them."""

    def __init__(self, forward: Forward, counts: TokenCounts | None = None) -> None:
        """`work` is counted on; whoever borrows the store may put its own there."""
        self._forward = forward
        self._kv_cache: KVCache = forward.new_kv_cache()
        self._tokens: list[int] = []
        self._logits = LogitsCache()
        self._draft_span = range(0)
        self._takes_drafts = True
        self.counts = counts or TokenCounts()
        self.answer: list[int] = []
        """Tokens of the last answer that was written here, with some before it."""
        self.busy = False
        """Somebody writes an answer here."""

    @property
    def tokens(self) -> tuple[int, ...]:
        return tuple(self._tokens)

    @property
    def nbytes(self) -> int:
        """Memory of the slot and of the logits that may be kept."""
        return self._kv_cache.nbytes + self._logits.nbytes

    def compute_logits_after(self, ids: Sequence[int], cancel: CancelToken, draft: Draft | None = None) -> Tensor:
        """As `reading`, at once."""
        return run_steps(self.logits_after(ids, cancel, draft), self._forward)

    def logits_after(self, ids: Sequence[int], cancel: CancelToken, draft: Draft | None = None) -> Steps[Tensor]:
        """Logits [vocabulary] after `ids`, which must not be empty.

        What the store holds of it costs nothing. Where a forward pass is needed, `draft` is asked for a guess of what
        comes next, which is read in the same pass. After RequestCancelled the chunks that were done stay.
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
            chunk = list(ids[held : held + PREFILL_CHUNK])
            last = held + len(chunk) == length
            yield from self._read(chunk, draft() if draft and last and self._takes_drafts else [])
        return self._logits[length]

    def common_prefix(self, ids: Sequence[int]) -> int:
        """How many of the first tokens of `ids` are held."""
        count = min(len(self._tokens), len(ids))
        if self._tokens[:count] == list(ids[:count]):
            return count
        return next(n for n, (held, asked) in enumerate(zip(self._tokens, ids, strict=False)) if held != asked)

    def clear(self) -> None:
        """Forgets everything, also after a step that failed half way."""
        self.answer = []
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
        """Keeps at most the first `length` tokens. A cache that cannot go back gets no more drafts."""
        if length >= len(self._tokens):
            return
        kept = self._kv_cache.rollback(length)
        self._takes_drafts = self._takes_drafts and kept == length
        del self._tokens[kept:]
        self._logits.truncate(kept)


class LogitsCache:
    """The logits after the positions that were read last, in one piece of memory: as many tensors would scatter."""

    def __init__(self) -> None:
        self._memory: Tensor | None = None
        self._rows: OrderedDict[int, int] = OrderedDict()
        self._free: list[int] = []

    @property
    def nbytes(self) -> int:
        return 0 if self._memory is None else self._memory.nbytes

    def __contains__(self, position: int) -> bool:
        return position in self._rows

    def __getitem__(self, position: int) -> Tensor:
        """Logits [vocabulary]; they stay until `MOST_ROWS` others were put."""
        assert self._memory is not None
        return self._memory[self._rows[position]]

    def put(self, position: int, row: Tensor) -> None:
        if self._memory is None:
            self._memory = row.new_empty((MAX_CACHED_LOGITS, *row.shape))
            self._free = list(range(MAX_CACHED_LOGITS))
        place = self._rows.pop(position, None)
        if place is None:
            place = self._free.pop() if self._free else self._rows.popitem(last=False)[1]
        self._memory[place] = row
        self._rows[position] = place

    def truncate(self, position: int) -> None:
        """Forgets what is behind `position`."""
        for behind in [known for known in self._rows if known > position]:
            self._free.append(self._rows.pop(behind))

    def clear(self) -> None:
        self.truncate(-1)
