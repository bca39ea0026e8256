"""Mixes the n-grams of the open file into the model's distribution.

Source code repeats itself locally more than a model can know in advance ("On the localness of software", Tu, Su and
Devanbu, 2014), and a cache of the surrounding text helps a small model most (Grave et al., 2017, arXiv 1612.04426). The
whole file counts, including what lies outside the model's context, for a fraction of a millisecond a token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lacuna_inference.forward import VocabRow
from lacuna_inference.in_file.index import FileIndex, Ids
from lacuna_inference.prompt.tokenizer import PromptTokenizer

TRUST = (0.02, 0.13, 0.22, 0.3, 0.32, 0.25, 0.25, 0.3, 0.9)
"""The trust in a match of 0, 1, 2 ... tokens. Fitted to the bundled model when it had seen 32 M tokens, on files of the
training packages that it was not trained on and on the source of Lacuna itself. None of these is among the files it is
evaluated on. A new fit for the present model, on packages it never saw, would gain 0.006 nats."""
END_ODDS = 3.0
"""Factor on the probability that the hole ends. The bundled model ends holes too rarely, and an early end costs less
than an extra line. With 2.0, which suited the previous model, 87.2 % of single-line holes were closed; with 3.0, the
only other value tried, 95.1 %."""
_MAX_COUNTED_BY_SET = 256
"""Up to this many tokens, distinct ones are counted with a set; above it, over the vocabulary."""


class NgramMixer:
    """The n-grams of one request's text."""

    def __init__(self, index: FileIndex, tokenizer: PromptTokenizer) -> None:
        self._index = index
        self._ends, self._newlines = np.array(sorted(tokenizer.ends)), np.array(tokenizer.newlines)
        tokens = np.concatenate((index.before, index.after))
        counts = np.bincount(tokens, minlength=tokenizer.size)
        self._unigrams: VocabRow = (counts / max(1, len(tokens))).astype(np.float32)
        self._unigram_share = TRUST[0] * _seen_again(len(tokens), int(np.count_nonzero(counts)))

    def mix(self, probabilities: VocabRow, written: Sequence[int]) -> VocabRow:
        """The mixture [vocabulary] of `probabilities`, with the end raised, and of what followed elsewhere in the file.

        `written` are the hole's tokens so far. Each match length gets a share as in Witten and Bell's smoothing (1991,
        method C), matches over distinct continuations, times its trust. Longer matches take their share first.
        """
        model = probabilities.copy()
        model[self._ends] *= END_ODDS
        model /= model.sum()
        left = 1.0
        local = np.zeros_like(model)
        for trust, following in reversed(self._matches(written)):
            share = left * trust * _seen_again(len(following), _count_distinct(following))
            np.add.at(local, following, np.float32(share / len(following)))
            left -= share
        share = left * self._unigram_share
        local += np.float32(share) * self._unigrams
        return np.float32(left - share) * model + self._with_ends(local, model)

    def _matches(self, written: Sequence[int]) -> list[tuple[float, Ids]]:
        """What follows the last 1, 2 ... tokens elsewhere in the file, with the trust in it, while there is any."""
        context = self._index.context(written, len(TRUST) - 1)
        matches = self._index.matches(context, len(TRUST) - 1)
        return [(trust, self._index.tokens_at(positions)) for trust, positions in zip(TRUST[1:], matches, strict=False)]

    def _with_ends(self, local: VocabRow, model: VocabRow) -> VocabRow:
        """Moves a part of the newlines' probability to the hole's end, in the model's proportion.

        The file does not show where the hole ends; only the model knows.
        """
        end, newline = model[self._ends].sum(), model[self._newlines].sum()
        part = end / (end + newline) if end + newline > 0 else np.float32(0)
        local[self._ends[model[self._ends].argmax()]] += part * local[self._newlines].sum()
        local[self._newlines] *= 1 - part
        return local


def _seen_again(count: int, distinct: int) -> float:
    """The probability that the next token is one of the `distinct` ones among the `count` seen."""
    return count / (count + distinct) if count else 0.0


def _count_distinct(tokens: Ids) -> int:
    return (
        len(set(tokens.tolist())) if len(tokens) <= _MAX_COUNTED_BY_SET else int(np.count_nonzero(np.bincount(tokens)))
    )
