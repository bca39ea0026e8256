"""Narrow prompts: where reading the whole window would take long, the first answers are from the lines at the cursor.

The window itself is read while nobody asks (`reading.py`), into another cache; once it is there, it is shown again.
"""

from __future__ import annotations

from dataclasses import replace

from lacuna_inference.api import Request
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt.planner import Prompt, PromptSpec, plan

BUDGET_S = 0.3
"""Seconds that an answer may take to read its prompt."""
MIN_TOKENS = 128
"""Tokens of a narrow prompt at least, however slow the machine is: about ten lines."""


def narrowed(decoder: Decoder, request: Request, spec: PromptSpec, prompt: Prompt) -> Prompt:
    """`prompt`, or a narrow one in its place if what of it is not cached would take longer than the budget.

    `spec` is that of `prompt`. Without memory for a second cache the window could not be read beside the narrow prompt,
    so it is read at once.
    """
    document_id, affordable = request.document_id, decoder.speed.tokens_in(BUDGET_S)
    if document_id is None or affordable is None or len(spec.parts) != 2 or prompt.between:
        return prompt
    room = max(MIN_TOKENS, affordable)
    unread = len(prompt.ids) - decoder.caches.held(document_id, prompt.ids)
    if unread <= room or not decoder.caches.has_room_for(2):
        return prompt
    windows = decoder.anchors.narrow_windows
    spec = replace(spec, max_tokens=0, window=windows.get(document_id), files=())
    try:
        narrow = plan(spec, decoder.tokenizer, room + 1)
    except BadRequest:  # the word at the cursor alone takes the room
        return prompt
    if len(narrow.ids) >= len(prompt.ids):
        return prompt
    if narrow.window is not None:
        windows.put(document_id, narrow.window)
    return replace(narrow, whole=prompt.whole, narrow=True)
