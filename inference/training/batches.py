"""Endless stream of training batches: samples, tokenised in parts, packed into rows of equal length."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Iterator, Sequence

import torch
from tokenizers import Tokenizer

from training.holes import Sample, sample
from training.tokenizer import END_OF_MASK, END_OF_TEXT, token_id

IGNORED = -100
_OPEN_ROWS = 24
_CHARACTERS_PER_TOKEN = 3.3

Row = tuple[list[int], list[bool]]
Batch = tuple[torch.Tensor, torch.Tensor]


class SampleEncoder:
    """Turns a sample into token ids and marks, for each, whether the model is trained to predict it."""

    def __init__(self, tokenizer: Tokenizer, limit: int) -> None:
        tokenizer.encode_special_tokens = True  # a sentinel that a source file spells out is ordinary text
        self._tokenizer = tokenizer
        self._limit = limit
        self._begin = token_id(tokenizer, END_OF_TEXT)
        self._masks = [token_id(tokenizer, f"<|mask:{i}|>") for i in range(2)]
        self._end = token_id(tokenizer, END_OF_MASK)

    def encode(self, samples: Sequence[Sample]) -> list[Row]:
        """Rows of at most `limit` tokens: what does not fit is cut from the outer ends, never from the hole."""
        texts = [text for s in samples for text in (s.header, s.prefix, s.suffix, s.typed, s.middle or "")]
        encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        parts = [encoding.ids for encoding in encodings]
        rows = [self._row(s, *parts[5 * i : 5 * i + 5]) for i, s in enumerate(samples)]
        return [(ids[: self._limit], trained[: self._limit]) for ids, trained in rows]

    def _row(
        self, s: Sample, header: list[int], prefix: list[int], suffix: list[int], typed: list[int], middle: list[int]
    ) -> Row:
        if s.middle is None:
            ids = [self._begin, *header, *prefix][: self._limit]
            return ids, [False] + [True] * (len(ids) - 1)
        middle = middle[: self._limit // 2]
        room = max(0, self._limit - len(header) - len(typed) - len(middle) - 5)
        suffix = suffix[: max(0, room - min(len(prefix), room * 2 // 3))]
        prefix = prefix[max(0, len(prefix) - (room - len(suffix))) :]
        first, extra = self._masks
        body = [*header, *prefix]
        if s.suffix_first:
            ids = [self._begin, first, *suffix, extra, first, *body, *middle, self._end]
            trained = [False, False, *[True] * len(suffix), False, False]
            return ids, trained + [True] * (len(ids) - len(trained))
        ids = [self._begin, *body, first, *suffix, extra, first, *typed, *middle, self._end]
        trained = [False, *[True] * len(body), False, *[True] * len(suffix), False, False]
        return ids, trained + [True] * (len(ids) - len(trained))


def batches(
    documents: Sequence[dict[str, str]], tokenizer: Tokenizer, rows: int, length: int, seed: int
) -> Iterator[Batch]:
    """Pairs of inputs and targets, both int64 [rows, length]; targets that do not count are `IGNORED`.

    Each epoch visits every file in proportion to its length, in a new order and with new windows.
    """
    encoder = SampleEncoder(tokenizer, length + 1)
    rng = random.Random(seed)
    window = int(length * _CHARACTERS_PER_TOKEN)
    weights = [max(1, round(len(document["text"]) / window)) for document in documents]
    visits = [i for i, weight in enumerate(weights) for _ in range(weight)]
    full: list[Row] = []
    open_rows: list[Row] = []
    while True:
        rng.shuffle(visits)
        for chunk_start in range(0, len(visits), 128):
            chunk = [documents[i] for i in visits[chunk_start : chunk_start + 128]]
            for row in encoder.encode([sample(d["text"], d["name"], window, rng) for d in chunk]):
                _pack(row, open_rows, full, length + 1)
            while len(full) >= rows:
                yield _tensors(full[:rows], length)
                del full[:rows]


def prefetched(stream: Iterator[Batch], depth: int = 4) -> Iterator[Batch]:
    """`stream`, made in a background thread: the tokenizer runs outside the interpreter's lock."""
    ready: queue.Queue[Batch | Exception] = queue.Queue(depth)

    def produce() -> None:
        try:
            for batch in stream:
                ready.put(batch)
        except Exception as error:
            ready.put(error)

    threading.Thread(target=produce, daemon=True).start()
    while True:
        item = ready.get()
        if isinstance(item, Exception):
            raise item
        yield item


def _pack(row: Row, open_rows: list[Row], full: list[Row], length: int) -> None:
    """Puts `row` into the fullest open row that has room; when too many are open, the fullest is closed."""
    ids, trained = row
    fitting = [r for r in open_rows if len(r[0]) + len(ids) <= length]
    if fitting:
        target = max(fitting, key=lambda r: len(r[0]))
        target[0].extend(ids)
        target[1].extend(trained)
    else:
        target = row
        open_rows.append(row)
    if len(target[0]) > length - 16:
        open_rows.remove(target)
        full.append(target)
    elif len(open_rows) > _OPEN_ROWS:
        target = max(open_rows, key=lambda r: len(r[0]))
        open_rows.remove(target)
        full.append(target)


def _tensors(rows: Sequence[Row], length: int) -> Batch:
    inputs = torch.zeros(len(rows), length, dtype=torch.int64)
    targets = torch.full((len(rows), length), IGNORED, dtype=torch.int64)
    for i, (ids, trained) in enumerate(rows):
        row = torch.tensor(ids)
        inputs[i, : min(len(ids), length)] = row[:length]
        targets[i, : len(ids) - 1] = torch.where(torch.tensor(trained[1:]), row[1:], IGNORED)
    return inputs, targets
