"""Line ends: models are trained on LF, and a text with CRLF gets an answer with CRLF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lacuna_inference.api import Candidate, CompletionResult, Fill, Raw, Request, StreamEvent, TokenLogprob


def uses_crlf(request: Request) -> bool:
    """Whether most lines of the text end with CRLF. False for a prompt that the caller built."""
    if _is_built_prompt(request):
        return False
    crlf, all_ends = _count(request.parts, "\r\n"), _count(request.parts, "\n")
    return 2 * crlf > all_ends


def with_lf(request: Request) -> Request:
    """`request` with LF line ends. A prompt that the caller built is returned unchanged."""
    if _is_built_prompt(request):
        return request
    stop = replace(request.stop, strings=_all_lf(request.stop.strings)) if uses_crlf(request) else request.stop
    files = tuple(replace(file, text=file.text.replace("\r\n", "\n")) for file in request.context_files)
    related_files = _all_lf(request.related_files)
    return replace(request, parts=_all_lf(request.parts), related_files=related_files, context_files=files, stop=stop)


def with_crlf(result: CompletionResult) -> CompletionResult:
    """`result` with CRLF line ends."""
    return replace(result, candidates=tuple(map(_candidate, result.candidates)))


def event_with_crlf(event: StreamEvent) -> StreamEvent:
    """`event` with CRLF line ends."""
    return replace(event, token=_token(event.token))


def _is_built_prompt(request: Request) -> bool:
    return request.raw is Raw.YES or request.ids is not None


def _candidate(candidate: Candidate) -> Candidate:
    return Candidate(tuple(map(_fill, candidate.fills)))


def _fill(fill: Fill) -> Fill:
    return replace(fill, text=_text(fill.text), token_logprobs=tuple(map(_token, fill.token_logprobs)))


def _token(token: TokenLogprob) -> TokenLogprob:
    top_logprobs = tuple((_text(text), logprob) for text, logprob in token.top_logprobs)
    return replace(token, text=_text(token.text), top_logprobs=top_logprobs)


def _text(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", "\r\n")


def _all_lf(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(text.replace("\r\n", "\n") for text in texts)


def _count(texts: Sequence[str], end: str) -> int:
    return sum(text.count(end) for text in texts)
