"""What a request cost, in tokens and forward passes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TokenCounts:
    """What has been done so far, in tokens and forward passes.

    `evaluated` counts all tokens that the model read, including the `drafted` ones, of which `accepted` were right.
    `prompt_read` counts the prompt tokens that were not cached, of all fills and candidates.
    """

    prompt_read: int = 0
    evaluated: int = 0
    passes: int = 0
    drafted: int = 0
    accepted: int = 0

    def since(self, before: TokenCounts) -> TokenCounts:
        """The difference to an earlier copy."""
        return TokenCounts(*(getattr(self, name) - getattr(before, name) for name in self.__slots__))

    def copy(self) -> TokenCounts:
        return self.since(TokenCounts())

    def add(self, other: TokenCounts) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
