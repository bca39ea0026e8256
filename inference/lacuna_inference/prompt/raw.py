"""Prompts that a caller built: text with a model's sentinels in it, or token ids. They are read as they are.

Text that holds none of the sentinels may be cut where it begins when it is too long, as any text before a hole. A
prompt that holds some means something only as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt import room
from lacuna_inference.prompt.planner import Prompt
from lacuna_inference.prompt.tokenizer import PromptTokenizer
from lacuna_inference.prompt.windows import last_tokens

_BLANK = "▁"
"""How sentencepiece writes a blank. Its sentinels begin with one, which people write as a blank or not at all."""

_MAX_TOKEN_CODE_POINTS = 200
"""Characters. A longer prompt need not be tokenised to know that it is too long."""
_LESS = "Send less of the text around the hole, or choose a model with a longer context."


def of_text(parts: Sequence[str], tokenizer: PromptTokenizer, context: int, max_tokens: int) -> Prompt:
    """The prompt that the one part spells. Raises BadRequest for several, and for a long one with sentinels."""
    if len(parts) != 1:
        raise BadRequest("A prompt that is taken as it is has no suffix.", "Put the suffix into the prompt.")
    longest = context * _MAX_TOKEN_CODE_POINTS
    if len(parts[0]) > longest and has_specials(parts[0], tokenizer):
        raise BadRequest(f"The prompt has {len(parts[0])} characters, and the model's context {context} tokens.", _LESS)
    ids = with_begin(tokens(parts[0][-longest:], tokenizer), tokenizer)
    if len(ids) < context or not _only_text(ids, tokenizer):
        return _fitting(tuple(ids) or (tokenizer.begin_of_nothing,), context)
    most = room.for_prompt(context, max_tokens) - len(tokenizer.begin)
    _, shown = last_tokens(without_specials(parts[0], tokenizer), most, tokenizer.encode)
    return Prompt((*tokenizer.begin, *shown), whole=False)


def of_ids(ids: Sequence[int], tokenizer: PromptTokenizer, context: int, max_tokens: int) -> Prompt:
    """The prompt that `ids` are. Raises BadRequest for none, for unknown ones, and for many with sentinels."""
    if not ids:
        raise BadRequest("The prompt has no tokens.", "Send one at least.")
    if not all(0 <= token < tokenizer.size for token in ids):
        raise BadRequest("The prompt has a token id that the model does not know.", "Check the tokenizer.")
    if len(ids) < context or not _only_text(ids, tokenizer):
        return _fitting(tuple(ids), context)
    return Prompt(tuple(ids[-room.for_prompt(context, max_tokens) :]), whole=False)


def tokens(prompt: str, tokenizer: PromptTokenizer) -> list[int]:
    """The ids of `prompt`: every special token that is spelt in it is that token."""
    ids: list[int] = []
    for piece, special in _pieces(prompt, tokenizer):
        ids += tokenizer.encode_bare(piece) if ids else tokenizer.encode(piece)
        ids += [] if special is None else [special]
    return ids


def with_begin(ids: list[int], tokenizer: PromptTokenizer) -> list[int]:
    """`ids` behind what a text of the model begins with, which stands there exactly once."""
    begin = list(tokenizer.begin)
    return ids if ids[: len(begin)] == begin else [*begin, *ids]


def without_specials(prompt: str, tokenizer: PromptTokenizer) -> str:
    """The text of `prompt` between its special tokens."""
    return "".join(piece for piece, _ in _pieces(prompt, tokenizer))


def has_specials(prompt: str, tokenizer: PromptTokenizer) -> bool:
    """Whether a special token is spelt in `prompt`."""
    if not any(name.lstrip(_BLANK) in prompt for name in tokenizer.specials):  # much faster than the pattern
        return False
    return any(special is not None for _, special in _pieces(prompt, tokenizer))


def _pieces(prompt: str, tokenizer: PromptTokenizer) -> Iterator[tuple[str, int | None]]:
    """The texts of `prompt`, each with the special token behind it; None behind the last."""
    known, start = tokenizer.specials, 0
    for match in _pattern(tuple(known)).finditer(prompt) if known else ():
        spelt = match.group().lstrip(" ")
        yield prompt[start : match.start()], known.get(spelt, known.get(_BLANK + spelt))
        start = match.end()
    yield prompt[start:], None


@lru_cache(8)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Finds the longest of `names` that stands somewhere."""
    spelt = [
        f"(?:{_BLANK}| ?){re.escape(name[1:])}" if name.startswith(_BLANK) else re.escape(name)
        for name in sorted(names, key=len, reverse=True)
    ]
    return re.compile("|".join(spelt))


def _only_text(ids: Sequence[int], tokenizer: PromptTokenizer) -> bool:
    return not set(ids[len(tokenizer.begin) :]) & set(tokenizer.specials.values())


def _fitting(ids: tuple[int, ...], context: int) -> Prompt:
    if len(ids) >= context:
        raise BadRequest(f"The prompt has {len(ids)} tokens, and the model's context {context}.", _LESS)
    return Prompt(ids)
