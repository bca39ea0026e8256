"""How fast prompts are read here, measured while they are."""

from __future__ import annotations

_MIN_TOKENS = 34
"""A shorter step may be a draft, and takes the time that reading the weights takes."""
_SHARE = 0.5
"""What the latest step counts."""


class ReadingSpeed:
    """The speed of recent forward passes. A device that works behind the interpreter's back appears to be faster."""

    def __init__(self) -> None:
        self._token_s: float | None = None

    def record(self, tokens: int, seconds: float) -> None:
        """Notes that one step read so many tokens in this time."""
        if tokens >= _MIN_TOKENS:
            latest = seconds / tokens
            self._token_s = latest if self._token_s is None else _SHARE * latest + (1 - _SHARE) * self._token_s

    def tokens_in(self, seconds: float) -> int | None:
        """How many tokens can be read in this time; None if nothing was measured yet."""
        return None if not self._token_s else int(seconds / self._token_s)
