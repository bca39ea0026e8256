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
from lacuna_inference.prompt.planner import Plan
from lacuna_inference.prompt.tokenizer import TokenText
from lacuna_inference.prompt.windows import last_tokens

_BLANK = "▁"
"""How sentencepiece writes a blank. Its sentinels begin with one, which people write as a blank or not at all."""

_LONGEST_TOKEN = 200
"""Characters. A longer prompt need not be tokenised to know that it is too long."""
_LESS = "Send less of the text around the hole, or choose a model with a longer context."


def of_text(parts: Sequence[str], text: TokenText, context: int, max_tokens: int) -> Plan:
    """The prompt that the one part spells. Raises BadRequest for several, and for a long one with sentinels."""
    if len(parts) != 1:
        raise BadRequest("A prompt that is taken as it is has no suffix.", "Put the suffix into the prompt.")
    longest = context * _LONGEST_TOKEN
    if len(parts[0]) > longest and has_specials(parts[0], text):
        raise BadRequest(f"The prompt has {len(parts[0])} characters, and the model's context {context} tokens.", _LESS)
    ids = begun(tokens(parts[0][-longest:], text), text)
    if len(ids) < context or not _only_text(ids, text):
        return _fitting(tuple(ids) or (text.begin_of_nothing,), context)
    most = room.for_prompt(context, max_tokens) - len(text.begin)
    _, shown = last_tokens(without_specials(parts[0], text), most, text.encode)
    return Plan((*text.begin, *shown), whole=False)


def of_ids(ids: Sequence[int], text: TokenText, context: int, max_tokens: int) -> Plan:
    """The prompt that `ids` are. Raises BadRequest for none, for unknown ones, and for many with sentinels."""
    if not ids:
        raise BadRequest("The prompt has no tokens.", "Send one at least.")
    if not all(0 <= token < text.size for token in ids):
        raise BadRequest("The prompt has a token id that the model does not know.", "Check the tokenizer.")
    if len(ids) < context or not _only_text(ids, text):
        return _fitting(tuple(ids), context)
    return Plan(tuple(ids[-room.for_prompt(context, max_tokens) :]), whole=False)


def tokens(prompt: str, text: TokenText) -> list[int]:
    """The ids of `prompt`: every special token that is spelt in it is that token."""
    ids: list[int] = []
    for piece, special in _pieces(prompt, text):
        ids += text.encode_bare(piece) if ids else text.encode(piece)
        ids += [] if special is None else [special]
    return ids


def begun(ids: list[int], text: TokenText) -> list[int]:
    """`ids` behind what a text of the model begins with, which stands there exactly once."""
    begin = list(text.begin)
    return ids if ids[: len(begin)] == begin else [*begin, *ids]


def without_specials(prompt: str, text: TokenText) -> str:
    """The text of `prompt` between its special tokens."""
    return "".join(piece for piece, _ in _pieces(prompt, text))


def has_specials(prompt: str, text: TokenText) -> bool:
    """Whether a special token is spelt in `prompt`."""
    if not any(name.lstrip(_BLANK) in prompt for name in text.specials):  # much faster than the pattern
        return False
    return any(special is not None for _, special in _pieces(prompt, text))


def _pieces(prompt: str, text: TokenText) -> Iterator[tuple[str, int | None]]:
    """The texts of `prompt`, each with the special token behind it; None behind the last."""
    known, start = text.specials, 0
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


def _only_text(ids: Sequence[int], text: TokenText) -> bool:
    return not set(ids[len(text.begin) :]) & set(text.specials.values())


def _fitting(ids: tuple[int, ...], context: int) -> Plan:
    if len(ids) >= context:
        raise BadRequest(f"The prompt has {len(ids)} tokens, and the model's context {context}.", _LESS)
    return Plan(ids)
