"""Prefetching: what is worth computing after an answer, while the engine is idle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from lacuna_inference.api import CompletionResult, Request, StopReason

if TYPE_CHECKING:
    from lacuna_inference.decoding.loop import Decoder


def prefetch_requests(decoder: Decoder, request: Request, result: CompletionResult) -> Iterator[Request]:
    """The requests to prefetch after `request` was answered with `result`.

    An answer that ended at its deadline is completed. Otherwise the answer is computed in the layout that the model was
    trained with, if the decoder returns to it during pauses, and then the answer that follows once this one is
    accepted. The latter needs memory for a prefix cache of its own, so that the document's cache stays valid whatever
    the user types. Prefetched answers are not streamed.
    """
    if not result.candidates:
        return
    if request.document_id is None or request.is_prefetch or request.relayout_on_pause or not request.prefetch_next:
        return
    silent = replace(request, on_token=None, deadline_s=None, may_be_narrow=False)
    if any(fill.reason is StopReason.DEADLINE for fill in result.candidates[0].fills):
        yield silent
        return
    if len(request.parts) != 2:
        return
    if decoder.relayout_on_pause:
        yield replace(silent, candidates=1, relayout_on_pause=True)
    text = result.candidates[0].text
    if text and decoder.caches.has_room():
        before, after = request.parts
        yield replace(silent, parts=(before + text, after), candidates=1, is_prefetch=True)
