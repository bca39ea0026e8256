"""What was done for a request, in tokens and forward passes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TokenCounts:
    """What was done so far, in tokens and forward passes.

    `evaluated` are all tokens that the model read, the `drafted` ones among them, of which `accepted` came true.
    `reused` are tokens of prompts that it had read before.
    """

    reused: int = 0
    evaluated: int = 0
    passes: int = 0
    drafted: int = 0
    accepted: int = 0

    def since(self, before: TokenCounts) -> TokenCounts:
        return TokenCounts(*(getattr(self, name) - getattr(before, name) for name in self.__slots__))

    def copy(self) -> TokenCounts:
        return self.since(TokenCounts())

    def add(self, other: TokenCounts) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
