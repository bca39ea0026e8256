"""Token healing: the word at the cursor is left out of the prompt, and the first generated tokens must spell it.

A prompt that ends inside a word ends with tokens that the model has rarely seen there; the likely token begins further
left. So the last word is removed from the prompt, and until it has been written again, only tokens whose bytes agree
with it are allowed.

Blanks are healed, too, where they would end the prompt in a way that the model has not seen. What follows them must not
be another blank: models write blanks after blanks until a limit stops them, and the user has chosen the indentation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lacuna_inference.prompt.families import TrailingBlanks
from lacuna_inference.prompt.tokenizer import PromptTokenizer


class Healing:
    """The rest of the healed prefix that the next tokens must spell, in UTF-8 bytes."""

    def __init__(self, healed_prefix: str, tokenizer: PromptTokenizer) -> None:
        self._rest = healed_prefix.encode()
        self._tokenizer = tokenizer
        keeps_width = tokenizer.family.trailing_blanks is not TrailingBlanks.HEALED
        self._no_blank_next = healed_prefix.isspace() and keeps_width
        """The healed prefix is blanks; a character that is not blank, or the end, must follow them."""

    def allowed(self) -> NDArray[np.int64] | None:
        """The ids that may come next; None when every token may."""
        vocabulary = self._tokenizer.vocabulary
        if self._rest:
            agreeing = vocabulary.agreeing_before_text if self._no_blank_next else vocabulary.agreeing
            return agreeing(self._rest)
        ends = np.array(sorted(self._tokenizer.ends), np.int64)
        return np.append(vocabulary.not_blank, ends) if self._no_blank_next else None

    def take(self, token: int) -> bool:
        """Notes that `token`, which must be allowed, was generated; whether it extends beyond the healed prefix."""
        if not self._rest:
            self._no_blank_next = False
            return True
        length = len(self._tokenizer.vocabulary.bytes_of[token])
        beyond = length > len(self._rest)
        self._rest = self._rest[length:]
        self._no_blank_next = self._no_blank_next and not beyond
        return beyond
