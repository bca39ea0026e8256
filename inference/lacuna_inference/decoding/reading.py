"""Reads the prompt of a document into its prefix cache before anybody asks, in short steps.

What has been read is found by its tokens, like everything in a prefix cache: the first request reads the rest.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from lacuna_inference.api import CompletionResult, Request, RequestMetrics
from lacuna_inference.cache.pool import Use
from lacuna_inference.decoding.answer import files_shown, prompt_for
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.decoding.resuming import resume
from lacuna_inference.forward import Steps
from lacuna_inference.prompt import context_budget
from lacuna_inference.prompt.planner import LINE_STEPS, Prompt, PromptSpec, plan
from lacuna_inference.prompt.windows import Window, chosen

logger = logging.getLogger(__name__)


def reading_steps(decoder: Decoder, model: str, state: RequestState) -> Steps[CompletionResult]:
    """Reads the prompt of a request whose document has an id; the result has no candidates.

    With one part the cursor is unknown. Nothing is read if that would not help, or would evict a cache in use. Raises
    RequestCancelled between two steps, and BadRequest for a request that has no valid prompt.
    """
    state.start()
    document_id, counts = state.request.document_id or "", state.counts
    prompt = _prompt(decoder, state.request)
    if prompt is not None and decoder.caches.make_room_ahead(document_id):
        try:
            beside = state.beside and decoder.caches.has_room_for(len(Use))
            use = Use.SUCCESSOR if beside else Use.ANSWERS
            with decoder.caches.lease(document_id, prompt.ids, use, counts, idle=True, ahead=True) as cache:
                yield from cache.logits_after(prompt.ids, state.cancel)
            logger.debug("%d tokens of a document were read ahead.", counts.evaluated)
        finally:
            decoder.caches.counts.add(counts)
    return CompletionResult((), RequestMetrics(evaluated_tokens=counts.evaluated, forward_passes=counts.passes), model)


def _prompt(decoder: Decoder, request: Request) -> Prompt | None:
    """What to read; None if prompts for different cursors have no beginning in common, and the cursor is unknown."""
    if len(request.parts) == 2:
        return prompt_for(decoder, replace(request, may_be_narrow=False))
    text, document_id = request.parts[0], request.document_id or ""
    if (saved := decoder.caches.on_disk(document_id)) is not None:
        resume(decoder.anchors, document_id, saved.notes, text, text)
    if (cursor := decoder.anchors.cursor_in(document_id, text)) is not None:
        return prompt_for(decoder, replace(request, parts=(text[:cursor], text[cursor:])))
    return _beginning(decoder, request, text) if decoder.tokenizer.family.suffix_last else None


def _beginning(decoder: Decoder, request: Request, text: str) -> Prompt | None:
    """The prompt for a cursor at the end of the first window of `text`; None if that does not end with a whole line.

    It begins like those for all cursors in the window, which becomes the document's if it has none.
    """
    windows = decoder.anchors.windows
    if (window := windows.get(request.document_id)) is None:
        room = context_budget.for_prompt(decoder.context, request.stop.max_tokens)
        window = chosen("", text, room - room // LINE_STEPS, decoder.tokenizer).window
    if window is None or window.before + window.after >= len(text):
        return None
    windows.put(request.document_id, window)
    parts, others = (text[: len(text) - window.after], ""), files_shown(decoder, request)
    spec = PromptSpec(
        parts, request.path, request.stop.max_tokens, decoder.layout,
        window=Window(window.before, 0), files=others.files, repository=others.repository,
    )  # fmt: skip
    return plan(spec, decoder.tokenizer, decoder.context)
