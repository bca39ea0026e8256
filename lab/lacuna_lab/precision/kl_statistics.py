"""Statistics of two distributions at each position. Pure; the formulas are those of llama.cpp's KL report.

Standard errors are clustered by window, because positions of one text depend on each other. With fewer than two
windows, positions are treated as independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Numbers: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Positions:
    """The comparison at the positions of one window, each field an array [positions].

    `divergence` is in nats, `same_top` 0 or 1, the log-probabilities are those of the actual next token in nats.
    `place` is the number of tokens before the position. A position with a non-finite logit has a `divergence` of NaN.
    """

    place: Numbers
    divergence: Numbers
    same_top: Numbers
    reference_logprob: Numbers
    test_logprob: Numbers


@dataclass(frozen=True, slots=True)
class Measure:
    """A mean and its standard error; `naive_error` treats all positions as independent."""

    mean: float
    error: float
    naive_error: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one dtype against the reference.

    `ppl_ratio` is the test's perplexity over the reference's, `log_ppl_ratio` its logarithm with the paired error.
    `delta_p_*` are of the differences in probability of the actual next token.
    """

    positions: int
    windows: int
    not_finite: int
    divergence: Measure
    median: float
    p99: float
    p999: float
    largest: float
    same_top: Measure
    log_ppl_ratio: Measure
    ppl_ratio: float
    reference_ppl: float
    delta_p_mean: float
    delta_p_rms: float


def compare(reference: Tensor, test: Tensor, following: Tensor, place: int) -> Positions:
    """Compares the logits [positions, vocabulary] of both.

    `following` are the actual next tokens, `place` is the number of tokens before the first position.
    """
    p = reference.double().log_softmax(-1)
    q = test.double().log_softmax(-1)
    divergence = torch.where(p > -torch.inf, p.exp() * (p - q), 0.0).sum(-1)
    divergence[~torch.isfinite(test).all(-1)] = torch.nan
    chosen = following.to(p.device)[:, None]
    return Positions(
        place=np.arange(place, place + len(p), dtype=np.float64),
        divergence=_array(divergence),
        same_top=_array((p.argmax(-1) == q.argmax(-1)).double()),
        reference_logprob=_array(p.gather(1, chosen)[:, 0]),
        test_logprob=_array(q.gather(1, chosen)[:, 0]),
    )


def concatenate(windows: Sequence[Positions]) -> Positions:
    """All positions of the windows, in order."""
    names = Positions.__slots__
    return Positions(**{name: np.concatenate([getattr(window, name) for window in windows]) for name in names})


def summary(windows: Sequence[Positions]) -> Summary:
    """The figures over all windows. Positions that are not finite are only counted."""
    whole = concatenate(windows)
    finite_windows = [_finite(window) for window in windows]
    finite = concatenate(finite_windows)
    divergence = finite.divergence
    median, p99, p999 = (np.quantile(divergence, share) if len(divergence) else np.nan for share in (0.5, 0.99, 0.999))
    log_ratio = measure([w.reference_logprob - w.test_logprob for w in finite_windows])
    delta = np.exp(finite.test_logprob) - np.exp(finite.reference_logprob)
    return Summary(
        positions=len(whole.place),
        windows=len(windows),
        not_finite=len(whole.place) - len(finite.place),
        divergence=measure([w.divergence for w in finite_windows]),
        median=float(median),
        p99=float(p99),
        p999=float(p999),
        largest=float(divergence.max()) if len(divergence) else float("nan"),
        same_top=measure([w.same_top for w in finite_windows]),
        log_ppl_ratio=log_ratio,
        ppl_ratio=float(np.exp(log_ratio.mean)),
        reference_ppl=float(np.exp(-whole.reference_logprob.mean())),
        delta_p_mean=_mean(delta),
        delta_p_rms=_mean(delta**2) ** 0.5,
    )


def measure(groups: Sequence[Numbers]) -> Measure:
    """Mean over all values, its cluster-robust error by groups (of a ratio of sums), and the naive error."""
    values = np.concatenate(groups) if groups else np.empty(0)
    count = len(values)
    if not count:
        return Measure(float("nan"), float("nan"), float("nan"))
    mean = float(values.mean())
    naive = float(values.std(ddof=1) / np.sqrt(count)) if count > 1 else float("nan")
    filled = [group for group in groups if len(group)]
    if len(filled) < 2:
        return Measure(mean, naive, naive)
    sums = np.array([(group - mean).sum() for group in filled])
    return Measure(mean, float(np.sqrt((sums**2).sum() * len(filled) / (len(filled) - 1)) / count), naive)


@dataclass(frozen=True, slots=True)
class Flips:
    """Answers that were right with one dtype and wrong with the other (Dutta et al., 2024, arXiv 2407.09141).

    `p_value` is that of McNemar's exact test: the probability of a split at least as uneven if both are equally good.
    """

    to_wrong: int
    to_right: int
    p_value: float


def mcnemar_flips(reference: Sequence[bool], test: Sequence[bool]) -> Flips:
    """Flips between correct and wrong answers to the same questions, in the same order."""
    pairs = list(zip(reference, test, strict=True))
    to_wrong = sum(before and not after for before, after in pairs)
    to_right = sum(after and not before for before, after in pairs)
    return Flips(to_wrong, to_right, mcnemar(to_wrong, to_right))


def mcnemar(b: int, c: int) -> float:
    """The p-value of the exact two-sided test on discordant counts: a fair coin splitting at least as unevenly."""
    tail = sum(comb(b + c, k) for k in range(min(b, c) + 1)) / float(2 ** (b + c))
    return min(1.0, 2.0 * tail)


def _mean(values: Numbers) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _finite(window: Positions) -> Positions:
    finite = ~np.isnan(window.divergence)
    return Positions(**{name: getattr(window, name)[finite] for name in Positions.__slots__})


def _array(x: Tensor) -> Numbers:
    array: Numbers = x.double().cpu().numpy()
    return array
