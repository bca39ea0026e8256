"""How the prompt and the answer share a model's context; the only module that decides it."""

from __future__ import annotations

_OVERHEAD = 2
"""Tokens that a fill needs besides its own: its end, and the mask of the next one, which the last fill lacks."""


def for_prompt(context: int, max_tokens: int, holes: int = 1) -> int:
    """Tokens for a prompt: what answers of `max_tokens` per hole leave of `context`, but at least half.

    So a request for a long answer still shows the model the text.
    """
    return max(context - holes * (max_tokens + _OVERHEAD) + 1, context // 2)


def for_answer(context: int, prompt: int, max_tokens: int, holes: int = 1) -> int:
    """Tokens for the answer in each of `holes` after a prompt of `prompt` tokens: at most `max_tokens`."""
    return max(0, min(max_tokens, (context - prompt + 1) // holes - _OVERHEAD))
