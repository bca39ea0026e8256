"""What the open file says comes next: its n-grams, mixed into the model's distribution.

Source code repeats itself near by more than a model can know beforehand ("On the localness of software", Tu, Su and
Devanbu, 2014), and a cache of what stands around helps a small model most (Grave et al., 2017, arXiv 1612.04426). The
whole file counts, also what lies outside the model's context, for a fraction of a millisecond a token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lacuna_inference.forward import VocabRow
from lacuna_inference.in_file.index import FileIndex, Ids
from lacuna_inference.prompt.tokenizer import PromptTokenizer

TRUST = (0.02, 0.13, 0.22, 0.3, 0.32, 0.25, 0.25, 0.3, 0.9)
"""How far a match of 0, 1, 2 ... tokens is trusted. Fitted to the bundled model when it had seen 32 M tokens, on files
of the training packages that it was not trained on and on the source of Lacuna itself; none of them is among those that
it is judged on. For the present model a new fit, on packages it never saw, would bring 0.006 nats."""
END_ODDS = 3.0
"""The bundled model says too rarely that the hole ends, and an end too early costs less than a line too many. With 2.0,
which suited the model before, 87.2 % of single-line holes were closed; with 3.0, the one other value tried, 95.1 %."""
_MAX_COUNTED_BY_SET = 256
"""Up to so many tokens a set tells how many kinds there are; for more it is counted over the vocabulary."""


class NgramMixer:
    """The n-grams of one request's text."""

    def __init__(self, index: FileIndex, tokenizer: PromptTokenizer) -> None:
        self._index = index
        self._ends, self._newlines = np.array(sorted(tokenizer.ends)), np.array(tokenizer.newlines)
        tokens = np.concatenate((index.before, index.after))
        counts = np.bincount(tokens, minlength=tokenizer.size)
        self._alone: VocabRow = (counts / max(1, len(tokens))).astype(np.float32)
        self._share = TRUST[0] * _seen_again(len(tokens), int(np.count_nonzero(counts)))

    def mix(self, probabilities: VocabRow, written: Sequence[int]) -> VocabRow:
        """The mixture [vocabulary] of `probabilities`, the end's raised, and of what followed elsewhere in the file.

        `written` are the hole's tokens so far. Each length of match gets a share as in Witten and Bell's smoothing
        (1991, method C), matches over distinct continuations, times its trust; longer ones take theirs first.
        """
        model = probabilities.copy()
        model[self._ends] *= END_ODDS
        model /= model.sum()
        left = 1.0
        local = np.zeros_like(model)
        for trust, following in reversed(self._matches(written)):
            share = left * trust * _seen_again(len(following), _kinds(following))
            np.add.at(local, following, np.float32(share / len(following)))
            left -= share
        share = left * self._share
        local += np.float32(share) * self._alone
        return np.float32(left - share) * model + self._ended(local, model)

    def _matches(self, written: Sequence[int]) -> list[tuple[float, Ids]]:
        """What follows the last 1, 2 ... tokens in the file, with the trust in it, while there is any."""
        context = self._index.context(written, len(TRUST) - 1)
        places = self._index.matches(context, len(TRUST) - 1)
        return [(trust, self._index.tokens_at(found)) for trust, found in zip(TRUST[1:], places, strict=False)]

    def _ended(self, local: VocabRow, model: VocabRow) -> VocabRow:
        """Gives the hole's end its part of the line ends: where the hole ends the file does not know, but the model."""
        end, newline = model[self._ends].sum(), model[self._newlines].sum()
        part = end / (end + newline) if end + newline > 0 else np.float32(0)
        local[self._ends[model[self._ends].argmax()]] += part * local[self._newlines].sum()
        local[self._newlines] *= 1 - part
        return local


def _seen_again(count: int, kinds: int) -> float:
    """The chance that the next is one of the `kinds` that were seen in `count`."""
    return count / (count + kinds) if count else 0.0


def _kinds(tokens: Ids) -> int:
    return (
        len(set(tokens.tolist())) if len(tokens) <= _MAX_COUNTED_BY_SET else int(np.count_nonzero(np.bincount(tokens)))
    )
