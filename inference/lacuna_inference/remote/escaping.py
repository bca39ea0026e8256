"""Keeps sentinels in the user's text from being read as sentinels, by servers that tokenise a prompt as one text.

Such a server turns `<fim_middle>` in a string literal into the token that closes a prompt. Few of them can be told not
to, so the text that is sent has a blank behind the sentinel's first character, and what the answer repeats of it is
spelled again as the user has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from lacuna_inference.prompt.families import FAMILIES, Family

_BARRED = r"<[|｜][^\s<>|｜]+[|｜]>"
"""What most families' special tokens look like, also those that no layout of ours needs."""


def ordinary(text: str, family: Family | None) -> str:
    """`text` with no sentinel of `family` in it; where that is None, of none, because each may be the model's."""
    return _sentinels(family).sub(_broken, text)


def respellings(texts: tuple[str, ...], family: Family | None) -> Mapping[str, str]:
    """The broken sentinels of `texts` and what they were, without those that the user's text has as they are."""
    whole = {match[0] for text in texts for match in _sentinels(family).finditer(text)}
    found = {f"{sentinel[0]} {sentinel[1:]}": sentinel for sentinel in whole}
    return {broken: sentinel for broken, sentinel in found.items() if not any(broken in text for text in texts)}


@cache
def _sentinels(family: Family | None) -> re.Pattern[str]:
    strings = {string for known in (FAMILIES if family is None else (family,)) for string in _strings(known)}
    return re.compile("|".join([_BARRED, *(re.escape(s) for s in sorted(strings, key=len, reverse=True))]))


def _strings(family: Family) -> list[str]:
    """As a user's text would have them: sentencepiece's mark for a blank is none of their characters."""
    return [string.strip("▁") for string in (*family.sentinels, *family.ends)]


def _broken(match: re.Match[str]) -> str:
    return f"{match[0][0]} {match[0][1:]}"
