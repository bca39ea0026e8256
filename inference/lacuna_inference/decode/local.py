"""What the open file says comes next: its n-grams, mixed into the model's distribution.

Source code repeats itself near by more than a model can know beforehand ("On the localness of software", Tu, Su and
Devanbu, 2014), and a cache of what stands around helps a small model most (Grave et al., 2017, arXiv 1612.04426). The
whole file counts, also what lies outside the model's context, for a fraction of a millisecond a token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lacuna_inference.decode.history import History, Ids
from lacuna_inference.prompt.tokens import TokenText

TRUST = (0.02, 0.13, 0.22, 0.3, 0.32, 0.25, 0.25, 0.3, 0.9)
"""How far a match of 0, 1, 2 ... tokens is trusted. Fitted to the bundled model when it had seen 32 M tokens, on files
of the training packages that it was not trained on and on the source of Lacuna itself; none of them is among those that
it is judged on. For the present model a new fit, on packages it never saw, would bring 0.006 nats."""
END_ODDS = 2.0
"""The bundled model says a little too rarely that the hole ends: on unseen packages odds of 1.25 times its own are
likeliest, and an end too early costs less than a line too many."""


class Local:
    """The n-grams of one request's text."""

    def __init__(self, history: History, text: TokenText) -> None:
        self._history = history
        self._text = text
        tokens = np.concatenate((history.before, history.after))
        self._counts = np.bincount(tokens, minlength=text.size) if len(tokens) else None
        self._share = TRUST[0] * len(tokens) / (len(tokens) + len(np.unique(tokens))) if len(tokens) else 0.0

    def mix(self, probabilities: Tensor, written: Sequence[int]) -> Tensor:
        """The mixture [vocabulary] of `probabilities`, the end's raised, and of what followed elsewhere in the file.

        `written` are the hole's tokens so far. Each length of match gets a share as in Witten and Bell's smoothing
        (1991, method C), matches over distinct continuations, times its trust; longer ones take theirs first.
        """
        probabilities = probabilities.clone()
        probabilities[list(self._text.ends)] *= END_ODDS
        probabilities /= probabilities.sum()
        if self._counts is None:
            return probabilities
        local = np.zeros(len(probabilities))
        left = 1.0
        for trust, following in reversed(self._matches(written)):
            tokens, counts = np.unique(following, return_counts=True)
            share = left * trust * len(following) / (len(following) + len(tokens))
            local[tokens] += share / len(following) * counts
            left -= share
        share = left * self._share
        local[: len(self._counts)] += share / self._counts.sum() * self._counts
        return (left - share) * probabilities + self._ended(torch.from_numpy(local).to(probabilities), probabilities)

    def _matches(self, written: Sequence[int]) -> list[tuple[float, Ids]]:
        """What follows the last 1, 2 ... tokens in the file, with the trust in it, while there is any."""
        context = self._history.context(written, len(TRUST) - 1)
        places = self._history.matches(context, len(TRUST) - 1)
        return [(trust, self._history.at(found)) for trust, found in zip(TRUST[1:], places, strict=False)]

    def _ended(self, local: Tensor, probabilities: Tensor) -> Tensor:
        """Gives the hole's end its part of the line ends: where the hole ends the file does not know, but the model."""
        ends, newlines = list(self._text.ends), self._text.newlines
        end, newline = float(probabilities[ends].sum()), float(probabilities[newlines].sum())
        part = end / (end + newline) if end + newline > 0 else 0.0
        local[ends[probabilities[ends].argmax()]] += part * local[newlines].sum()
        local[newlines] *= 1 - part
        return local
