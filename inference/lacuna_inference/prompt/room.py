"""How a model's context is shared between the prompt and the answer: the one place that says so."""

from __future__ import annotations

_AROUND = 2
"""Tokens that a fill needs besides its own: its end, and the mask of the next one, which the last fill goes without."""


def for_prompt(context: int, max_tokens: int, holes: int = 1) -> int:
    """Tokens that a prompt may have: what an answer of `max_tokens` a hole leaves of `context`, but at least half.

    A caller who asks for a long answer still gets one that knows the text.
    """
    return max(context - holes * (max_tokens + _AROUND) + 1, context // 2)


def for_answer(context: int, prompt: int, max_tokens: int, holes: int = 1) -> int:
    """Tokens that an answer may have in each of `holes` behind a prompt of so many tokens: at most `max_tokens`."""
    return max(0, min(max_tokens, (context - prompt + 1) // holes - _AROUND))
