"""Fits the ranker of fill candidates: how often a text from elsewhere in the file was what had been cut out.

A conditional logit (McFadden, 1974) over the candidates and "none of them", whose score is 0, with a few hidden units.
No language model is involved, so any file will do. Holes are made as for the training samples, including empty ones.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from lacuna_inference.in_file.candidates.ranker import features, find_candidates, metadata
from training.holes import hole
from training.paths import Paths

SEED = 20261127
_HIDDEN, _EPOCHS, _ROWS, _RATE = 16, 8, 128, 0.01

Example = tuple[Tensor, Tensor]
"""Features [candidates, features], and which candidates are right [candidates]."""


class Ranker(nn.Module):
    """The network of `lacuna_inference.in_file.candidates.ranker.score`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.line = nn.Linear(width, 1)
        self.hidden = nn.Linear(width, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, 1, bias=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Scores [..., candidates] of rows [..., candidates, features]."""
        scores: Tensor = self.line(rows) + self.out(self.hidden(rows).relu())
        return scores[..., 0]


def fit(paths: Paths, file_count: int, per_file: int, target: Path) -> float:
    """Fits weights to `per_file` holes in each of `file_count` files of the training part and writes them to `target`.

    Returns the loss of the last epoch, in nats per hole that has a candidate.
    """
    holes = list(_holes(paths, file_count, per_file))
    examples = [example for h in track(holes, "Finding fill candidates") if (example := _example(*h))]
    ranker, loss = _fit(examples)
    save_file({name: tensor.contiguous() for name, tensor in ranker.state_dict().items()}, target, metadata())
    return loss


def _holes(paths: Paths, file_count: int, per_file: int) -> Iterator[tuple[str, int, int]]:
    rng = random.Random(SEED)
    with paths.train_corpus.open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    for text in rng.sample(texts, min(file_count, len(texts))):
        for _ in range(per_file):
            yield (text, *hole(text, rng))


def _example(text: str, start: int, end: int) -> Example | None:
    if not (candidates := find_candidates(text[:start], text[end:])):
        return None
    right = [candidate.text == text[start:end] for candidate in candidates]
    return torch.from_numpy(features(candidates, text[:start], text[end:])), torch.tensor(right)


def _fit(examples: Sequence[Example]) -> tuple[Ranker, float]:
    """Maximum likelihood on standardized features; the scaling is then folded into the weights."""
    torch.manual_seed(SEED)
    rows = torch.cat([example[0] for example in examples])
    mean, scale = rows.mean(0), rows.std(0) + 1e-3
    ranker = Ranker(len(mean))
    steps = _EPOCHS * -(-len(examples) // _ROWS)
    optimizer = torch.optim.AdamW(ranker.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
    losses: list[float] = []
    for _ in range(_EPOCHS):
        losses.clear()
        order = torch.randperm(len(examples)).tolist()
        for start in range(0, len(order), _ROWS):
            loss = _loss(ranker, [examples[number] for number in order[start : start + _ROWS]], mean, scale)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    with torch.no_grad():
        for layer in (ranker.line, ranker.hidden):
            layer.weight.div_(scale)
            layer.bias.sub_(layer.weight @ mean)
    return ranker, float(np.mean(losses))


def _loss(ranker: Ranker, batch: Sequence[Example], mean: Tensor, scale: Tensor) -> Tensor:
    """Mean negative log-likelihood of the right candidates, or of "none of them" where none is right."""
    rows = pad_sequence([example[0] for example in batch], batch_first=True)
    right = pad_sequence([example[1] for example in batch], batch_first=True)
    present = pad_sequence([torch.ones(len(example[1]), dtype=torch.bool) for example in batch], batch_first=True)
    scores = ranker((rows - mean) / scale).masked_fill(~present, -torch.inf)
    logprobs = pad(scores, (0, 1)).log_softmax(-1)
    right = torch.cat((right, ~right.any(-1, keepdim=True)), -1)
    return -logprobs.masked_fill(~right, -torch.inf).logsumexp(-1).mean()
