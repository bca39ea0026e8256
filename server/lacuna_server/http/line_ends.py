"""Line ends: models have learned LF, and a text that ends its lines with CRLF gets an answer that does so too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lacuna_inference.api import Candidate, CompletionResult, Fill, Raw, Request, StreamEvent, TokenLogprob


def uses_crlf(request: Request) -> bool:
    """Whether most lines of the text end with CRLF. A prompt that the caller built is left alone."""
    if _as_it_is(request):
        return False
    crlf, all_ends = _count(request.parts, "\r\n"), _count(request.parts, "\n")
    return 2 * crlf > all_ends


def with_lf(request: Request) -> Request:
    """`request` as the model is asked."""
    if _as_it_is(request):
        return request
    stop = replace(request.stop, strings=_without(request.stop.strings)) if uses_crlf(request) else request.stop
    return replace(request, parts=_without(request.parts), related_files=_without(request.related_files), stop=stop)


def with_crlf(completions: CompletionResult) -> CompletionResult:
    """The answer for a text with CRLF."""
    return replace(completions, candidates=tuple(map(_candidate, completions.candidates)))


def piece_with_crlf(piece: StreamEvent) -> StreamEvent:
    """A piece of the answer for a text with CRLF."""
    return replace(piece, token=_scored(piece.token))


def _as_it_is(request: Request) -> bool:
    return request.raw is Raw.YES or request.ids is not None


def _candidate(candidate: Candidate) -> Candidate:
    return Candidate(tuple(map(_fill, candidate.fills)))


def _fill(fill: Fill) -> Fill:
    return replace(fill, text=_text(fill.text), token_logprobs=tuple(map(_scored, fill.token_logprobs)))


def _scored(token: TokenLogprob) -> TokenLogprob:
    alternatives = tuple((_text(text), logprob) for text, logprob in token.top_logprobs)
    return replace(token, text=_text(token.text), top_logprobs=alternatives)


def _text(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", "\r\n")


def _without(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(text.replace("\r\n", "\n") for text in texts)


def _count(texts: Sequence[str], end: str) -> int:
    return sum(text.count(end) for text in texts)
