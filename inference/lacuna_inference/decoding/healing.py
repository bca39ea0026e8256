"""Token healing: the word at the cursor is left out of the prompt, and the first generated tokens must spell it.

A prompt that ends inside a word ends with tokens that the model has rarely seen there; the likely token begins further
left. So the last word is removed from the prompt, and until it has been written again, only tokens whose bytes agree
with it are allowed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lacuna_inference.prompt.tokenizer import PromptTokenizer


class Healing:
    """The rest of the healed prefix that the next tokens must spell, in UTF-8 bytes."""

    def __init__(self, healed_prefix: str, tokenizer: PromptTokenizer) -> None:
        self._rest = healed_prefix.encode()
        self._tokenizer = tokenizer

    def allowed(self) -> NDArray[np.int64] | None:
        """The ids that may come next; None when every token may."""
        return self._tokenizer.vocabulary.agreeing(self._rest) if self._rest else None

    def take(self, token: int) -> bool:
        """Notes that `token`, which must be allowed, was generated; whether it extends beyond the healed prefix."""
        if not self._rest:
            return True
        length = len(self._tokenizer.vocabulary.bytes_of[token])
        beyond = length > len(self._rest)
        self._rest = self._rest[length:]
        return beyond
