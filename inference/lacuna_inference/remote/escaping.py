"""Escapes sentinels in the user's text, for servers that tokenize a prompt as one text.

Such a server turns `<fim_middle>` in a string literal into the token that closes a prompt, and few can be configured
not to. So a blank is inserted after the sentinel's first character, and removed again where the answer repeats it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from lacuna_inference.prompt.families import FAMILIES, Family

_BARRED = r"<[|｜][^\s<>|｜]+[|｜]>"
"""The form of most families' special tokens, including those that no layout needs."""


def escaped(text: str, family: Family | None) -> str:
    """`text` with the sentinels of `family` escaped; those of all families if None, as any may be the model's."""
    return _sentinels(family).sub(_escape, text)


def unescapes(texts: tuple[str, ...], family: Family | None) -> Mapping[str, str]:
    """The escaped sentinels of `texts` with the originals, except where the user's text has the escaped form itself."""
    sentinels = {match[0] for text in texts for match in _sentinels(family).finditer(text)}
    originals = {f"{sentinel[0]} {sentinel[1:]}": sentinel for sentinel in sentinels}
    return {form: sentinel for form, sentinel in originals.items() if not any(form in text for text in texts)}


@cache
def _sentinels(family: Family | None) -> re.Pattern[str]:
    strings = {string for known in (FAMILIES if family is None else (family,)) for string in _strings(known)}
    return re.compile("|".join([_BARRED, *(re.escape(s) for s in sorted(strings, key=len, reverse=True))]))


def _strings(family: Family) -> list[str]:
    """The sentinels as they occur in text: without sentencepiece's mark for a blank."""
    return [string.strip("▁") for string in (*family.sentinels, *family.ends)]


def _escape(match: re.Match[str]) -> str:
    return f"{match[0][0]} {match[0][1:]}"
