"""An endless stream of training batches: samples are tokenized in parts and packed into rows of equal length."""

from __future__ import annotations

import queue
import random
import threading
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress

import torch
from tokenizers import Tokenizer

from training.holes import Sample, sample
from training.tokenizer import END_OF_MASK, END_OF_TEXT, token_id

HOLE_WEIGHT = 4.0
"""Weight of a hole's token relative to the surrounding text: holes are the model's purpose, and rare."""
_MAX_OPEN_ROWS = 24
_CODE_POINTS_PER_TOKEN = 3.3
_MAX_OVERSAMPLING = 4.0

Row = tuple[list[int], list[float]]
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class SampleEncoder:
    """Turns a sample into token ids and a loss weight for each; 0 for tokens that are given."""

    def __init__(self, tokenizer: Tokenizer, limit: int) -> None:
        tokenizer.encode_special_tokens = True  # a sentinel that a source file spells out is ordinary text
        self._tokenizer = tokenizer
        self._limit = limit
        self._begin = token_id(tokenizer, END_OF_TEXT)
        self._masks = [token_id(tokenizer, f"<|mask:{i}|>") for i in range(3)]
        self._end = token_id(tokenizer, END_OF_MASK)

    def encode(self, samples: Sequence[Sample]) -> list[Row]:
        """Rows of at most `limit` tokens. The outer ends are truncated, and the hole gets at most half of the row."""
        texts = [text for s in samples for text in (s.header, s.prefix, s.suffix, s.middle or "")]
        encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        parts = [encoding.ids for encoding in encodings]
        rows = [self._row(s, *parts[4 * i : 4 * i + 4]) for i, s in enumerate(samples)]
        return [(ids[: self._limit], weights[: self._limit]) for ids, weights in rows]

    def _row(self, s: Sample, header: list[int], prefix: list[int], suffix: list[int], middle: list[int]) -> Row:
        if s.middle is None:
            ids = [self._begin, *header, *prefix][: self._limit]
            return ids, [0.0] + [1.0] * (len(ids) - 1)
        filled = [*middle, self._end][: self._limit // 2]  # a very long hole loses its rest and its end token
        room = max(0, self._limit - len(header) - len(filled) - 4)
        suffix = suffix[: max(0, room - min(len(prefix), room * 2 // 3))]
        prefix = prefix[max(0, len(prefix) - (room - len(suffix))) :]
        first, extra, hole = self._masks
        body = [*header, *prefix]
        ids = [self._begin, first, *suffix, extra, *body, hole, *filled]
        weights = [0.0, 0.0, *[1.0] * len(suffix), 0.0, *[1.0] * len(body), 0.0]
        return ids, weights + [HOLE_WEIGHT] * len(filled)


def batches(
    documents: Sequence[dict[str, str]], tokenizer: Tokenizer, rows: int, length: int, seed: int
) -> Iterator[Batch]:
    """Inputs and targets, int64 [rows, length], and the loss weights of the targets, float32 [rows, length].

    Each epoch has new windows in a new order. `visits_of` gives how often a file is visited.
    """
    encoder = SampleEncoder(tokenizer, length + 1)
    rng = random.Random(seed)
    window = int(length * _CODE_POINTS_PER_TOKEN)
    expected = visits_of(documents, window)
    full: list[Row] = []
    open_rows: list[Row] = []
    while True:
        visits = [i for i, count in enumerate(expected) for _ in range(int(count + rng.random()))]
        rng.shuffle(visits)
        for chunk_start in range(0, len(visits), 128):
            chunk = [documents[i] for i in visits[chunk_start : chunk_start + 128]]
            for row in encoder.encode([sample(d["text"], d["name"], window, rng) for d in chunk]):
                _pack(row, open_rows, full, length + 1)
            while len(full) >= rows:
                yield _tensors(full[:rows], length)
                del full[:rows]


def visits_of(documents: Sequence[dict[str, str]], window: int) -> list[float]:
    """How many windows an epoch takes from each file: in proportion to its length, and fewer from large packages.

    A package is weighted by the square root of its size, because its code resembles itself, and a user's code resembles
    no package. Small packages are oversampled at most `_MAX_OVERSAMPLING` times.
    """
    sizes: Counter[str] = Counter()
    for document in documents:
        sizes[document["package"]] += len(document["text"])
    even = sum(sizes.values()) / sum(size**0.5 for size in sizes.values())
    factors = {package: min(_MAX_OVERSAMPLING, even * size**-0.5) for package, size in sizes.items()}
    return [max(1.0, len(d["text"]) / window) * factors[d["package"]] for d in documents]


def prefetched(stream: Iterator[Batch], depth: int = 4) -> Generator[Batch, None, None]:
    """`stream`, produced in a background thread that ends with it: the tokenizer releases the interpreter's lock."""
    ready: queue.Queue[Batch | Exception] = queue.Queue(depth)
    closed = threading.Event()

    def produce() -> None:
        try:
            for batch in stream:
                ready.put(batch)
                if closed.is_set():
                    return
        except Exception as error:
            ready.put(error)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        closed.set()
        while thread.is_alive():  # the queue may be full
            with suppress(queue.Empty):
                ready.get(timeout=0.05)


def _pack(row: Row, open_rows: list[Row], full: list[Row], length: int) -> None:
    """Adds `row` to the fullest open row with room for it; if too many are open, the fullest is closed."""
    ids, weights = row
    fitting = [r for r in open_rows if len(r[0]) + len(ids) <= length]
    if fitting:
        target = max(fitting, key=lambda r: len(r[0]))
        target[0].extend(ids)
        target[1].extend(weights)
    else:
        target = row
        open_rows.append(row)
    if len(target[0]) > length - 16:
        open_rows.remove(target)
        full.append(target)
    elif len(open_rows) > _MAX_OPEN_ROWS:
        target = max(open_rows, key=lambda r: len(r[0]))
        open_rows.remove(target)
        full.append(target)


def _tensors(rows: Sequence[Row], length: int) -> Batch:
    """Rows are padded to `length` + 1 with id 0, whose targets have weight 0."""
    ids = torch.zeros(len(rows), length + 1, dtype=torch.int64)
    weights = torch.zeros(len(rows), length + 1)
    for i, (row, row_weights) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        weights[i, : len(row)] = torch.tensor(row_weights)
    return ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), weights[:, 1:].contiguous()
