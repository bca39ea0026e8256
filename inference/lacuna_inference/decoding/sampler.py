"""The sampler: greedy decoding, or nucleus sampling (Holtzman et al., 2020, arXiv 1904.09751).

Written in numpy: for one row of logits it takes a fraction of the time that small tensor operations take.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lacuna_inference.api import Sampling
from lacuna_inference.errors import BadRequest, NotFinite
from lacuna_inference.forward import VocabRow

MIN_TEMPERATURE = 1e-5
"""Sampling below this temperature is greedy: dividing by less overflows."""


class Sampler:
    """Chooses tokens for one candidate. The same seed gives the same choices for the same logits."""

    def __init__(self, sampling: Sampling, banned: Iterable[int], vocab_size: int | None = None) -> None:
        """`vocab_size` is the size of the tokenizer's vocabulary; rows of the head after it are padding.

        Raises BadRequest for a bias of a token outside of it.
        """
        if any(vocab_size is not None and token >= vocab_size for token, _ in sampling.logit_bias):
            raise BadRequest("A bias has a token id that the model does not know.", "Check logit_bias.")
        self._sampling = sampling
        self._vocab_size = vocab_size
        self._banned = np.array(sorted(banned), np.int64)
        self._random = np.random.default_rng(sampling.seed)
        self._scores: VocabRow = np.zeros(0, np.float32)
        self._ids: NDArray[np.int64] | None = None
        self._written: Counter[int] = Counter()

    def choose(
        self,
        logits: Tensor,
        allowed: NDArray[np.int64] | None = None,
        mix: Callable[[VocabRow], VocabRow] | None = None,
    ) -> tuple[int, float]:
        """The chosen id and its log-probability in nats, from logits [vocabulary] on any device.

        `mix` may change the probabilities. With `allowed`, which must not be empty, one of these ids is chosen, and its
        probability is relative to them. Raises NotFinite if a logit is NaN, or the largest one infinite.
        """
        scores: VocabRow = logits[: self._vocab_size].float().cpu().numpy().copy()
        if not np.isfinite(scores.max()):  # the maximum of numbers with NaN among them is NaN
            raise NotFinite
        scores[self._banned[: np.searchsorted(self._banned, len(scores))]] = -np.inf  # a model may have fewer rows
        if mix is not None:
            with np.errstate(divide="ignore"):  # a probability of 0 becomes minus infinity
                scores = np.log(mix(_softmax(scores)))
        if self._sampling.adjusts_logits:
            self._adjust(scores)
        if allowed is not None:
            scores = scores[allowed]
        self._scores, self._ids = scores, allowed
        greedy = self._sampling.temperature < MIN_TEMPERATURE
        index = int(scores.argmax()) if greedy else self._sample(scores)
        logprob = float(np.log(_softmax(scores)[index]))
        if allowed is not None:  # a healed prefix is not new text, so it is not penalized
            return int(allowed[index]), logprob
        self._written[index] += 1
        return index, logprob

    def top_logprobs(self, count: int) -> list[tuple[int, float]]:
        """The `count` likeliest ids at the last choice, with their log-probabilities in nats."""
        with np.errstate(divide="ignore"):
            logprobs = np.log(_softmax(self._scores))
        indices = np.argsort(-logprobs, kind="stable")[:count]
        return [(int(n if self._ids is None else self._ids[n]), float(logprobs[n])) for n in indices]

    def likeliest(self, count: int) -> list[tuple[int, float]]:
        """As `top_logprobs`, in no order; sorting a whole vocabulary would take longer."""
        count = min(count, len(self._scores))
        with np.errstate(divide="ignore"):
            logprobs = np.log(_softmax(self._scores))
        indices = np.argpartition(-logprobs, count - 1)[:count]
        return [(int(n if self._ids is None else self._ids[n]), float(logprobs[n])) for n in indices]

    def logprob(self, token: int) -> float:
        """The log-probability in nats of `token` at the last choice; minus infinity where only some were allowed."""
        if self._ids is not None or token >= len(self._scores):
            return -np.inf
        highest = self._scores.max()
        return float(self._scores[token] - highest - np.log(np.exp(self._scores - highest).sum()))

    def _adjust(self, scores: VocabRow) -> None:
        """Adds the logit biases and subtracts the penalties."""
        for token, bias in self._sampling.logit_bias:
            scores[token] += np.float32(bias)
        for token, count in self._written.items():
            scores[token] -= np.float32(self._sampling.presence_penalty + count * self._sampling.frequency_penalty)

    def _sample(self, scores: VocabRow) -> int:
        probabilities = _softmax(scores / np.float32(self._sampling.temperature))
        order = np.argsort(-probabilities, kind="stable")
        cumulative = np.cumsum(probabilities[order], dtype=np.float64)
        before = cumulative - probabilities[order]
        kept = self._kept(probabilities[order], before)
        drawn = self._random.random() * cumulative[kept - 1]
        return int(order[min(int(np.searchsorted(cumulative[:kept], drawn, side="right")), kept - 1)])

    def _kept(self, probabilities: VocabRow, before: NDArray[np.float64]) -> int:
        """How many of the likeliest tokens may be drawn.

        `probabilities` are in descending order; `before` is the sum of those before each.
        """
        sampling, kept = self._sampling, len(probabilities)
        if sampling.top_p < 1:
            kept = int(np.searchsorted(before, sampling.top_p))
        if sampling.top_k > 0:
            kept = min(kept, sampling.top_k)
        if sampling.min_p > 0:
            kept = min(kept, int(np.count_nonzero(probabilities >= sampling.min_p * probabilities[0])))
        return max(1, kept)


def _softmax(scores: VocabRow) -> VocabRow:
    """Probabilities; uniform if every score is minus infinity."""
    maximum = scores.max()
    if not np.isfinite(maximum):
        return np.full_like(scores, 1 / len(scores))
    weights = np.exp(scores - maximum)
    probabilities: VocabRow = weights / weights.sum()
    return probabilities
