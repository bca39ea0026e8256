"""Fits how bridges are weighed: how often a text between two sides like those of a hole was what had been cut out.

No model takes part, so any file will do; holes are those of the training samples, empty ones among them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from lacuna_inference.decode.bridges import FIT, MOST, Fit, bridges, features
from training.holes import hole
from training.paths import Paths

SEED = 20261127
_ROUNDS = 2
"""Which bridges are looked at follows from the fit, so it is made again with those of the last one."""


def fit(paths: Paths, file_count: int, per_file: int) -> Fit:
    """The likeliest coefficients for `per_file` holes in each of `file_count` files of the training part."""
    found = FIT
    holes = list(_holes(paths, file_count, per_file))
    for _ in range(_ROUNDS):
        examples = [example for h in track(holes, "Looking for bridges") if (example := _example(*h, found))]
        found = _likeliest(*(torch.from_numpy(np.stack(part)) for part in zip(*examples, strict=True)))
    return found


def _holes(paths: Paths, file_count: int, per_file: int) -> Iterator[tuple[str, int, int]]:
    rng = random.Random(SEED)
    with paths.train_corpus.open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    for text in rng.sample(texts, min(file_count, len(texts))):
        for _ in range(per_file):
            yield (text, *hole(text, rng))


def _example(text: str, start: int, end: int, by: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Features [MOST, coefficients], 0 or -inf for each row and for none of them, and the number of what is right."""
    found = bridges(text[:start], text[end:], by)
    if not found:
        return None
    rows = np.zeros((MOST, len(by)))
    rows[: len(found)] = features(found)
    missing = np.where(np.arange(MOST + 1) < len(found), 0.0, -np.inf)
    missing[MOST] = 0
    right = next((n for n, bridge in enumerate(found) if bridge.text == text[start:end]), MOST)
    return rows, missing, np.array(right)


def _likeliest(rows: Tensor, missing: Tensor, right: Tensor) -> Fit:
    coefficients = torch.zeros(rows.shape[-1], dtype=rows.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([coefficients], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        scores = torch.nn.functional.pad(rows @ coefficients, (0, 1)) + missing
        value = torch.nn.functional.cross_entropy(scores, right)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return Fit(*(round(value, 2) for value in coefficients.tolist()))
