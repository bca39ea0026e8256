"""Suggestion reuse: while the user types what was suggested, the rest of the suggestion is the answer.

Greedy decoding would generate the same text again, from logits that the prefix cache holds, so it is skipped. (Where
fill candidates are mixed in, it might not: they are ranked anew at every cursor. What is shown then stays.) This
applies only to answers that ended naturally; one that was cut by a limit would now be longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lacuna_inference.api import Fill, Raw, Request, StopReason, TokenLogprob
from lacuna_inference.decoding.per_document import PerDocument

_ENDED = frozenset({StopReason.END_OF_HOLE, StopReason.OUTSIDE, StopReason.NEWLINE, StopReason.DEDENT})


@dataclass(frozen=True, slots=True)
class _Suggestion:
    request: Request
    fill: Fill
    is_narrow: bool
    """Whether it is for a prompt with the lines at the cursor alone."""


class SuggestionReuse:
    """The last greedy suggestion of each document."""

    def __init__(self) -> None:
        self._suggestions: PerDocument[_Suggestion] = PerDocument()

    def rest_of(self, request: Request) -> Fill | None:
        """The rest of the last suggestion if `request` continues it, otherwise None.

        Without more text, one for a narrow prompt is none: more may have been read since.
        """
        last = self._suggestions.get(request.document_id)
        if last is None or not _is_reusable(request) or len(request.parts) != len(last.request.parts):
            return None
        before, *after = request.parts
        last_before, *last_after = last.request.parts
        typed = before[len(last_before) :]
        same = before.startswith(last_before) and after == last_after and _options(request) == _options(last.request)
        if not same or not last.fill.text.startswith(typed) or "\n" in typed:
            return None
        if typed == last.fill.text and typed:
            return None  # all of it was typed; the model may have more to suggest
        if last.is_narrow and not typed:
            return None
        tokens = _rest_of_tokens(last.fill.token_logprobs, len(typed))
        return replace(last.fill, text=last.fill.text[len(typed) :], tokens=0, token_logprobs=tokens)

    def is_narrow(self, document_id: str) -> bool:
        """Whether the last suggestion was for a narrow prompt."""
        last = self._suggestions.get(document_id)
        return last is not None and last.is_narrow

    def remember(self, request: Request, fill: Fill, is_narrow: bool = False) -> None:
        """Stores the answer to `request` if it can be reused."""
        if _is_reusable(request) and fill.reason in _ENDED:
            self._suggestions.put(request.document_id, _Suggestion(request, fill, is_narrow))


def _rest_of_tokens(tokens: Sequence[TokenLogprob], typed: int) -> tuple[TokenLogprob, ...]:
    """The tokens after the first `typed` code points. What is left of a token that was typed in part keeps the
    log-probability of the whole."""
    rest, start = list[TokenLogprob](), 0
    for token in tokens:
        end = start + len(token.text)
        if end > typed:
            rest.append(replace(token, text=token.text[max(0, typed - start) :]))
        start = end
    return tuple(rest)


def _is_reusable(request: Request) -> bool:
    """Whether `request` wants one greedy answer for one hole, without alternatives, and is no prefetch."""
    greedy = request.sampling.temperature <= 0 and request.candidates == 1
    text_only = request.ids is None and request.raw is not Raw.YES and request.top_logprobs is None
    return (
        greedy and text_only and len(request.parts) <= 2 and not request.is_prefetch and not request.relayout_on_pause
    )


def _options(request: Request) -> Request:
    """What determines the answer besides the text."""
    return replace(request, parts=(), related_files=(), deadline_s=None)
