"""What the open file says about one hole, mixed into the model's distribution: its n-grams and its bridges."""

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
"""The power of the model's word where texts part: 0 is none, 1 as much as where they stand against all others."""
_FLOOR = 1e-9


class DistributionMixer:
    """The distributions of hole `number` between `parts`; asked for one token after the other."""

    def __init__(
        self, index: FileIndex, parts: Sequence[str], number: int, healed_prefix: str, tokenizer: PromptTokenizer
    ) -> None:
        """`healed_prefix` ends the part before the hole and will be written again."""
        self._local = NgramMixer(index, tokenizer)
        filled = number + 1 < len(parts)  # or else it is written on from the last part, and nothing says where it ends
        texts = ranker.rank_candidates(parts[number], parts[number + 1]) if filled else []
        self._bridged = CandidateMixer(texts, healed_prefix, tokenizer)

    def mix(self, probabilities: VocabRow, written: Sequence[int], allowed: Allowed = None) -> VocabRow:
        """The mixture [vocabulary], from the model's `probabilities`, after the hole's tokens `written`.

        Only the ids `allowed`, if that is not None, may come next.
        """
        return self._bridged.mix(self._local.mix(probabilities, written), written, allowed)


class CandidateMixer:
    """Texts that may fill the hole, each of them a sequence of tokens with an end, against another distribution.

    A mixture of whole sequences: the weight of a text is its chance that all of it, no more and no less, is what is
    missing, and with every token that is written Bayes' rule moves the weights.
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
        self._compare(other, len(written))
        mixed = np.float32(self._other) * other
        for tokens, chance in self._candidates:
            mixed[tokens[len(written)]] += np.float32(chance)
        return mixed

    def _compare(self, other: VocabRow, place: int) -> None:
        """Moves weight between the texts, not away from them, to those whose next token `other` finds likelier."""
        if len({tokens[place] for tokens, _ in self._candidates}) < 2:
            return
        said = [chance * float(other[tokens[place]] + _FLOOR) ** EVIDENCE for tokens, chance in self._candidates]
        if (total := sum(said)) > 0:
            kept = sum(chance for _, chance in self._candidates) / total
            self._candidates = [
                (tokens, chance * kept) for (tokens, _), chance in zip(self._candidates, said, strict=True)
            ]

    def _learn(self, written: Sequence[int]) -> None:
        """Moves the weights by what was written since; a text that goes on otherwise is out."""
        for place in range(self._written, len(written)):
            token = written[place]
            self._candidates = [(tokens, chance) for tokens, chance in self._candidates if tokens[place] == token]
            self._other *= float(self._last[token])
        self._written = len(written)
        total = self._other + sum(chance for _, chance in self._candidates)
        if total > 0:
            self._other /= total
            self._candidates = [(tokens, chance / total) for tokens, chance in self._candidates]
        else:
            self._other, self._candidates = 1.0, []


def _restricted(distribution: VocabRow, allowed: NDArray[np.int64]) -> VocabRow:
    """The same among the ids `allowed`; all of them alike when none of them is possible."""
    restricted = np.zeros_like(distribution)
    total = distribution[allowed].sum()
    restricted[allowed] = distribution[allowed] / total if total > 0 else 1 / len(allowed)
    return restricted
