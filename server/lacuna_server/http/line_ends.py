"""Line ends: models have learned LF, and a text that ends its lines with CRLF gets an answer that does so too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lacuna_inference.api import Completion, Completions, Fill, Piece, Raw, Request, Scored


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
    return replace(request, parts=_without(request.parts), nearby=_without(request.nearby), stop=stop)


def with_crlf(completions: Completions) -> Completions:
    """The answer for a text with CRLF."""
    return replace(completions, candidates=tuple(map(_candidate, completions.candidates)))


def piece_with_crlf(piece: Piece) -> Piece:
    """A piece of the answer for a text with CRLF."""
    return replace(piece, token=_scored(piece.token))


def _as_it_is(request: Request) -> bool:
    return request.raw is Raw.YES or request.ids is not None


def _candidate(candidate: Completion) -> Completion:
    return Completion(tuple(map(_fill, candidate.fills)))


def _fill(fill: Fill) -> Fill:
    return replace(fill, text=_text(fill.text), scored=tuple(map(_scored, fill.scored)))


def _scored(token: Scored) -> Scored:
    alternatives = tuple((_text(text), logprob) for text, logprob in token.alternatives)
    return replace(token, text=_text(token.text), alternatives=alternatives)


def _text(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", "\r\n")


def _without(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(text.replace("\r\n", "\n") for text in texts)


def _count(texts: Sequence[str], end: str) -> int:
    return sum(text.count(end) for text in texts)
