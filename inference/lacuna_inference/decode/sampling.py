"""Logits -> the next token: greedy, or nucleus sampling (Holtzman et al., 2020, arXiv 1904.09751)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lacuna_inference.api import Sampling


class Chooser:
    """Chooses tokens for one candidate. The same seed gives the same choices for the same logits."""

    def __init__(self, sampling: Sampling, banned: Iterable[int], known: int | None = None) -> None:
        """`known` is the size of the tokenizer's vocabulary; rows of the head behind it are padding."""
        self._sampling = sampling
        self._known = known
        self._banned = torch.tensor(sorted(banned), dtype=torch.int64)
        self._random = torch.Generator()
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed)

    def choose(
        self, logits: Tensor, allowed: NDArray[np.int64] | None = None, mix: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[int, float]:
        """The chosen id and its log-probability in nats, from logits [vocabulary] on any device.

        `mix` may change the probabilities. With `allowed`, which must not be empty, one of these ids is chosen, and its
        probability is that among them.
        """
        scores = logits[: self._known].float().cpu()
        if len(self._banned):
            scores = scores.index_fill(0, self._banned, -torch.inf)
        if mix is not None:
            scores = mix(scores.softmax(0)).log()
        if allowed is not None:
            kept = torch.from_numpy(allowed)
            scores = torch.full_like(scores, -torch.inf).scatter_(0, kept, scores[kept])
        log_probabilities = scores.log_softmax(0)
        greedy = self._sampling.temperature <= 0
        token = int(log_probabilities.argmax()) if greedy else self._sample(scores)
        return token, float(log_probabilities[token])

    def _sample(self, scores: Tensor) -> int:
        probabilities = (scores / self._sampling.temperature).softmax(0)
        if self._sampling.top_p < 1:
            ordered, indices = probabilities.sort(descending=True)
            outside = ordered.cumsum(0) - ordered >= self._sampling.top_p
            probabilities = probabilities.index_fill(0, indices[outside], 0.0)
        return int(torch.multinomial(probabilities, 1, generator=self._random))
