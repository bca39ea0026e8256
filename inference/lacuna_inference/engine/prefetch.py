"""What is worth computing behind an answer while nobody asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from lacuna_inference.api import CompletionResult, Request, StopReason

if TYPE_CHECKING:
    from lacuna_inference.decoding.loop import Decoder


def prefetch_requests(decoder: Decoder, request: Request, completions: CompletionResult) -> Iterator[Request]:
    """The rest of an answer that ran out of time, or the same in the layout that the model was trained with, and the
    answer after this one was accepted.

    That has a store of its own, where there is memory for one, so that typing along or away still finds what was read.
    Nobody waits for any of it, so nobody is told pieces of it.
    """
    if not completions.candidates:
        return
    if request.document_id is None or request.is_prefetch or request.relayout_on_pause or not request.prefetch_next:
        return
    unheard = replace(request, on_token=None, deadline_s=None)
    if any(fill.reason is StopReason.DEADLINE for fill in completions.candidates[0].fills):
        yield unheard
        return
    if len(request.parts) != 2:
        return
    if decoder.relayout_on_pause:
        yield replace(unheard, candidates=1, relayout_on_pause=True)
    text = completions.candidates[0].text
    if text and decoder.caches.has_room():
        before, after = request.parts
        yield replace(unheard, parts=(before + text, after), candidates=1, is_prefetch=True)
