"""Mixes what the open file says about a hole into the model's distribution: its n-grams and fill candidates.

Other engines call such a step a logits processor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lacuna_inference.forward import VocabRow
from lacuna_inference.in_file.candidates import ranker
from lacuna_inference.in_file.index import FileIndex
from lacuna_inference.in_file.ngrams import NgramMixer
from lacuna_inference.prompt.tokenizer import PromptTokenizer

Allowed = NDArray[np.int64] | None
EVIDENCE = 0.3
"""The exponent of the model's probabilities where the candidates differ: 0 ignores the model, 1 trusts it as fully as
against all other texts."""
_FLOOR = 1e-9


class DistributionMixer:
    """The distributions of hole `number` between `parts`, token by token."""

    def __init__(
        self, index: FileIndex, parts: Sequence[str], number: int, healed_prefix: str, tokenizer: PromptTokenizer
    ) -> None:
        """`healed_prefix` ends the part before the hole and will be generated again."""
        self._ngrams = NgramMixer(index, tokenizer)
        has_suffix = number + 1 < len(parts)  # without one, nothing shows where the hole ends
        texts = ranker.rank_candidates(parts[number], parts[number + 1]) if has_suffix else []
        self._texts = [text for text, _ in texts]
        self._candidates = CandidateMixer(texts, healed_prefix, tokenizer)

    def suggests(self, text: str) -> bool:
        """Whether `text` is a candidate for the hole, or begins one."""
        return bool(text) and any(candidate.startswith(text) for candidate in self._texts)

    def mix(self, probabilities: VocabRow, written: Sequence[int], allowed: Allowed = None) -> VocabRow:
        """The mixture [vocabulary] with the model's `probabilities`, after the hole's tokens `written`.

        If `allowed` is not None, only these ids may come next.
        """
        return self._candidates.mix(self._ngrams.mix(probabilities, written), written, allowed)


class CandidateMixer:
    """Mixes texts that may fill the hole, each a sequence of tokens with an end, into another distribution.

    A mixture of whole sequences: the weight of a text is the probability that exactly this text is missing, and with
    every token that is written Bayes' rule updates the weights.
    """

    def __init__(self, texts: Sequence[tuple[str, float]], healed_prefix: str, tokenizer: PromptTokenizer) -> None:
        end = tokenizer.sentinel(tokenizer.family.ends[0]) if texts else 0
        self._candidates = [
            ([*tokenizer.encode_bare(healed_prefix + filling), end], chance) for filling, chance in texts
        ]
        self._other = 1 - sum(chance for _, chance in self._candidates)
        self._last = np.zeros(0, np.float32)
        self._written = 0

    def mix(self, other: VocabRow, written: Sequence[int], allowed: Allowed = None) -> VocabRow:
        """The mixture [vocabulary] after the tokens `written`; `other` is the distribution of any other text."""
        if not self._candidates:
            return other
        if allowed is not None:
            other = _restricted(other, allowed)
        self._learn(written)
        self._last = other
        if not self._candidates:
            return other
        self._reweight(other, len(written))
        mixed = np.float32(self._other) * other
        for tokens, chance in self._candidates:
            mixed[tokens[len(written)]] += np.float32(chance)
        return mixed

    def _reweight(self, other: VocabRow, position: int) -> None:
        """Shifts weight among the texts, keeping their sum, to those whose next token is likelier in `other`."""
        if len({tokens[position] for tokens, _ in self._candidates}) < 2:
            return
        weighted = [chance * float(other[tokens[position]] + _FLOOR) ** EVIDENCE for tokens, chance in self._candidates]
        if (total := sum(weighted)) > 0:
            scale = sum(chance for _, chance in self._candidates) / total
            self._candidates = [
                (tokens, chance * scale) for (tokens, _), chance in zip(self._candidates, weighted, strict=True)
            ]

    def _learn(self, written: Sequence[int]) -> None:
        """Updates the weights by the tokens written since; a text that continues differently is dropped."""
        for position in range(self._written, len(written)):
            token = written[position]
            self._candidates = [(tokens, chance) for tokens, chance in self._candidates if tokens[position] == token]
            self._other *= float(self._last[token])
        self._written = len(written)
        total = self._other + sum(chance for _, chance in self._candidates)
        if total > 0:
            self._other /= total
            self._candidates = [(tokens, chance / total) for tokens, chance in self._candidates]
        else:
            self._other, self._candidates = 1.0, []


def _restricted(distribution: VocabRow, allowed: NDArray[np.int64]) -> VocabRow:
    """`distribution` limited to the ids `allowed` and normalized; uniform over them if none of them is possible."""
    restricted = np.zeros_like(distribution)
    total = distribution[allowed].sum()
    restricted[allowed] = distribution[allowed] / total if total > 0 else 1 / len(allowed)
    return restricted
