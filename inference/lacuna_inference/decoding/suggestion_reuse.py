"""Suggestions that are still true: somebody types the letters that were suggested.

Greedy decoding would write the same again, token by token, from logits that the store holds. So it need not be done at
all: what was not typed yet is the answer. Only for answers that ended by themselves; one that was cut by a limit would
now reach further.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lacuna_inference.api import Fill, Raw, Request, StopReason
from lacuna_inference.decoding.per_document import PerDocument

_ENDED = frozenset({StopReason.END_OF_HOLE, StopReason.NEWLINE, StopReason.DEDENT})


@dataclass(frozen=True, slots=True)
class _Suggestion:
    request: Request
    fill: Fill


class SuggestionReuse:
    """The last greedy suggestion of each document."""

    def __init__(self) -> None:
        self._suggestions: PerDocument[_Suggestion] = PerDocument()

    def rest_of(self, request: Request) -> Fill | None:
        """The rest of the suggestion when `request` goes on along it, else None."""
        ghost = self._suggestions.get(request.document_id)
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
            self._suggestions.put(request.document_id, _Suggestion(request, fill))


def _plain(request: Request) -> bool:
    """Whether one greedy answer for one hole is asked for, by somebody who waits."""
    greedy = request.sampling.temperature <= 0 and request.candidates == 1
    said_again = request.ids is None and request.raw is not Raw.YES and request.top_logprobs is None
    return (
        greedy and said_again and len(request.parts) <= 2 and not request.is_prefetch and not request.relayout_on_pause
    )


def _asks_alike(one: Request, other: Request) -> bool:
    return _question(one) == _question(other)


def _question(request: Request) -> Request:
    """What decides about the answer besides the text."""
    return replace(request, parts=(), related_files=(), deadline_s=None)
