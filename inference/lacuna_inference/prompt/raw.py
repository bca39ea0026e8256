"""Raw prompts: text with a model's sentinels in it, or token ids, built by the caller and used as they are.

Text without sentinels may be truncated at its beginning if it is too long, like any text before a hole. A prompt with
sentinels has meaning only as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt import context_budget
from lacuna_inference.prompt.planner import Prompt
from lacuna_inference.prompt.tokenizer import PromptTokenizer
from lacuna_inference.prompt.windows import last_tokens

_BLANK = "▁"
"""How sentencepiece writes a blank. Its sentinels begin with one, which users write as a blank or omit."""

_MAX_CODE_POINTS_PER_TOKEN = 200
"""A prompt with more code points per token of context is too long without tokenizing it."""
_LESS = "Send less of the text around the hole, or choose a model with a longer context."


def of_text(parts: Sequence[str], tokenizer: PromptTokenizer, context: int, max_tokens: int) -> Prompt:
    """The prompt that the only part spells. Raises BadRequest for several parts, and for a long one with sentinels."""
    if len(parts) != 1:
        raise BadRequest("A raw prompt has no suffix.", "Put the suffix into the prompt.")
    max_length = context * _MAX_CODE_POINTS_PER_TOKEN
    if len(parts[0]) > max_length and has_specials(parts[0], tokenizer):
        raise BadRequest(f"The prompt has {len(parts[0])} characters, and the model's context {context} tokens.", _LESS)
    ids = with_begin(tokens(parts[0][-max_length:], tokenizer), tokenizer)
    if len(ids) < context or not _is_plain_text(ids, tokenizer):
        return _require_fit(tuple(ids) or (tokenizer.begin_of_nothing,), context)
    max_ids = context_budget.for_prompt(context, max_tokens) - len(tokenizer.begin)
    _, shown = last_tokens(without_specials(parts[0], tokenizer), max_ids, tokenizer.encode)
    return Prompt((*tokenizer.begin, *shown), whole=False)


def of_ids(ids: Sequence[int], tokenizer: PromptTokenizer, context: int, max_tokens: int) -> Prompt:
    """The prompt `ids`. Raises BadRequest if there are none, for unknown ids, and for a long prompt with sentinels."""
    if not ids:
        raise BadRequest("The prompt has no tokens.", "Send at least one.")
    if not all(0 <= token < tokenizer.size for token in ids):
        raise BadRequest("The prompt has a token id that the model does not know.", "Check the tokenizer.")
    if len(ids) < context or not _is_plain_text(ids, tokenizer):
        return _require_fit(tuple(ids), context)
    return Prompt(tuple(ids[-context_budget.for_prompt(context, max_tokens) :]), whole=False)


def tokens(prompt: str, tokenizer: PromptTokenizer) -> list[int]:
    """The ids of `prompt`, in which special tokens are recognized by their spelling."""
    ids: list[int] = []
    for text, special in _segments(prompt, tokenizer):
        ids += tokenizer.encode_bare(text) if ids else tokenizer.encode(text)
        ids += [] if special is None else [special]
    return ids


def with_begin(ids: list[int], tokenizer: PromptTokenizer) -> list[int]:
    """`ids` with the tokens that a text of the model begins with, exactly once."""
    begin = list(tokenizer.begin)
    return ids if ids[: len(begin)] == begin else [*begin, *ids]


def without_specials(prompt: str, tokenizer: PromptTokenizer) -> str:
    """The text of `prompt` between its special tokens."""
    return "".join(text for text, _ in _segments(prompt, tokenizer))


def has_specials(prompt: str, tokenizer: PromptTokenizer) -> bool:
    """Whether `prompt` contains the spelling of a special token."""
    if not any(name.lstrip(_BLANK) in prompt for name in tokenizer.specials):  # much faster than the pattern
        return False
    return any(special is not None for _, special in _segments(prompt, tokenizer))


def _segments(prompt: str, tokenizer: PromptTokenizer) -> Iterator[tuple[str, int | None]]:
    """The texts of `prompt`, each with the special token after it; None after the last."""
    known, start = tokenizer.specials, 0
    for match in _pattern(tuple(known)).finditer(prompt) if known else ():
        spelling = match.group().lstrip(" ")
        yield prompt[start : match.start()], known.get(spelling, known.get(_BLANK + spelling))
        start = match.end()
    yield prompt[start:], None


@lru_cache(8)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Matches any of `names`, the longest first."""
    spellings = [
        f"(?:{_BLANK}| ?){re.escape(name[1:])}" if name.startswith(_BLANK) else re.escape(name)
        for name in sorted(names, key=len, reverse=True)
    ]
    return re.compile("|".join(spellings))


def _is_plain_text(ids: Sequence[int], tokenizer: PromptTokenizer) -> bool:
    return not set(ids[len(tokenizer.begin) :]) & set(tokenizer.specials.values())


def _require_fit(ids: tuple[int, ...], context: int) -> Prompt:
    if len(ids) >= context:
        raise BadRequest(f"The prompt has {len(ids)} tokens, and the model's context {context}.", _LESS)
    return Prompt(ids)
