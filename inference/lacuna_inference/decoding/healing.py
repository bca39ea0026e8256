"""Token healing: the word under the cursor is left out of the prompt, and the first tokens must spell it again.

A prompt that ends inside a word ends with tokens that the model has hardly ever seen there; the token it would like to
write begins further left. So the last piece of the text is taken off the prompt, and until it has been written again
only those tokens are allowed whose bytes agree with it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lacuna_inference.prompt.tokenizer import PromptTokenizer


class Healing:
    """What has still to be spelt, in UTF-8 bytes."""

    def __init__(self, healed_prefix: str, tokenizer: PromptTokenizer) -> None:
        self._rest = healed_prefix.encode()
        self._tokenizer = tokenizer

    def allowed(self) -> NDArray[np.int64] | None:
        """The ids that may come next; None when every token may."""
        return self._tokenizer.vocabulary.agreeing(self._rest) if self._rest else None

    def take(self, token: int) -> bool:
        """Notes that `token`, one of the allowed, was written; whether it went on behind what had to be spelt."""
        if not self._rest:
            return True
        length = len(self._tokenizer.vocabulary.bytes_of[token])
        beyond = length > len(self._rest)
        self._rest = self._rest[length:]
        return beyond
