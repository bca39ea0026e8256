"""What the open file says about one hole, mixed into the model's distribution: its n-grams and its bridges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lacuna_inference.forward import Row
from lacuna_inference.in_file.candidates import ranker
from lacuna_inference.in_file.index import History
from lacuna_inference.in_file.ngrams import Local
from lacuna_inference.prompt.tokenizer import TokenText

Allowed = NDArray[np.int64] | None
EVIDENCE = 0.3
"""The power of the model's word where texts part: 0 is none, 1 as much as where they stand against all others."""
_FLOOR = 1e-9


class Mixture:
    """The distributions of hole `number` between `parts`; asked for one token after the other."""

    def __init__(self, history: History, parts: Sequence[str], number: int, begun: str, text: TokenText) -> None:
        """`begun` ends the part before the hole and will be written again."""
        self._local = Local(history, text)
        filled = number + 1 < len(parts)  # or else it is written on from the last part, and nothing says where it ends
        texts = ranker.weighed(parts[number], parts[number + 1]) if filled else []
        self._bridged = Bridged(texts, begun, text)

    def mix(self, probabilities: Row, written: Sequence[int], allowed: Allowed = None) -> Row:
        """The mixture [vocabulary], from the model's `probabilities`, after the hole's tokens `written`.

        Only the ids `allowed`, if that is not None, may come next.
        """
        return self._bridged.mix(self._local.mix(probabilities, written), written, allowed)


class Bridged:
    """Texts that may fill the hole, each of them a sequence of tokens with an end, against another distribution.

    A mixture of whole sequences: the weight of a text is its chance that all of it, no more and no less, is what is
    missing, and with every token that is written Bayes' rule moves the weights.
    """

    def __init__(self, texts: Sequence[tuple[str, float]], begun: str, text: TokenText) -> None:
        end = text.sentinel(text.family.ends[0]) if texts else 0
        self._ways = [([*text.encode_bare(begun + filling), end], chance) for filling, chance in texts]
        self._other = 1 - sum(chance for _, chance in self._ways)
        self._last = np.zeros(0, np.float32)
        self._written = 0

    def mix(self, other: Row, written: Sequence[int], allowed: Allowed = None) -> Row:
        """The mixture [vocabulary] after the tokens `written`; `other` is the distribution of any other text."""
        if not self._ways:
            return other
        if allowed is not None:
            other = _only(other, allowed)
        self._learn(written)
        self._last = other
        if not self._ways:
            return other
        self._compare(other, len(written))
        mixed = np.float32(self._other) * other
        for tokens, chance in self._ways:
            mixed[tokens[len(written)]] += np.float32(chance)
        return mixed

    def _compare(self, other: Row, place: int) -> None:
        """Moves weight between the texts, not away from them, to those whose next token `other` finds likelier."""
        if len({tokens[place] for tokens, _ in self._ways}) < 2:
            return
        said = [chance * float(other[tokens[place]] + _FLOOR) ** EVIDENCE for tokens, chance in self._ways]
        if (total := sum(said)) > 0:
            kept = sum(chance for _, chance in self._ways) / total
            self._ways = [(tokens, chance * kept) for (tokens, _), chance in zip(self._ways, said, strict=True)]

    def _learn(self, written: Sequence[int]) -> None:
        """Moves the weights by what was written since; a text that goes on otherwise is out."""
        for place in range(self._written, len(written)):
            token = written[place]
            self._ways = [(tokens, chance) for tokens, chance in self._ways if tokens[place] == token]
            self._other *= float(self._last[token])
        self._written = len(written)
        total = self._other + sum(chance for _, chance in self._ways)
        if total > 0:
            self._other /= total
            self._ways = [(tokens, chance / total) for tokens, chance in self._ways]
        else:
            self._other, self._ways = 1.0, []


def _only(distribution: Row, allowed: NDArray[np.int64]) -> Row:
    """The same among the ids `allowed`; all of them alike when none of them is possible."""
    restricted = np.zeros_like(distribution)
    total = distribution[allowed].sum()
    restricted[allowed] = distribution[allowed] / total if total > 0 else 1 / len(allowed)
    return restricted
