"""Suggestions that are still true: somebody types the letters that were suggested.

Greedy decoding would write the same again, token by token, from logits that the store holds. So it need not be done at
all: what was not typed yet is the answer. Only for answers that ended by themselves; one that was cut by a limit would
now reach further.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lacuna_inference.api import Fill, Raw, Request, StopReason
from lacuna_inference.decoding.recent import Recent

_ENDED = frozenset({StopReason.END_OF_HOLE, StopReason.NEWLINE, StopReason.DEDENT})


@dataclass(frozen=True, slots=True)
class _Ghost:
    request: Request
    fill: Fill


class Ghosts:
    """The last greedy suggestion of each document."""

    def __init__(self) -> None:
        self._ghosts: Recent[_Ghost] = Recent()

    def along(self, request: Request) -> Fill | None:
        """The rest of the suggestion when `request` goes on along it, else None."""
        ghost = self._ghosts.get(request.key)
        if ghost is None or not _plain(request) or len(request.parts) != len(ghost.request.parts):
            return None
        before, *after = request.parts
        start, *behind = ghost.request.parts
        typed = before[len(start) :]
        same = before.startswith(start) and after == behind and _asks_alike(request, ghost.request)
        if not same or not ghost.fill.text.startswith(typed) or "\n" in typed:
            return None
        if typed == ghost.fill.text and typed:
            return None  # all of it was typed, which ends a hole but not a thought
        return replace(ghost.fill, text=ghost.fill.text[len(typed) :], tokens=0)

    def remember(self, request: Request, fill: Fill) -> None:
        """Keeps the answer to `request` when it may be typed along."""
        if _plain(request) and fill.reason in _ENDED:
            self._ghosts.put(request.key, _Ghost(request, fill))


def _plain(request: Request) -> bool:
    """Whether one greedy answer for one hole is asked for, by somebody who waits."""
    greedy = request.sampling.temperature <= 0 and request.candidates == 1
    said_again = request.ids is None and request.raw is not Raw.YES and request.alternatives is None
    return greedy and said_again and len(request.parts) <= 2 and not request.ahead and not request.settles


def _asks_alike(one: Request, other: Request) -> bool:
    return _question(one) == _question(other)


def _question(request: Request) -> Request:
    """What decides about the answer besides the text."""
    return replace(request, parts=(), nearby=(), deadline_s=None)
