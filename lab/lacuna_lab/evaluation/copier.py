"""A baseline without a model: finds an earlier occurrence of the text before the cursor and copies what follows it."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\w+|\n|[^\S\n]+|[^\w\s]")
MAX_MATCH_TOKENS, MIN_MATCH_TOKENS = 8, 1
_MAX_TOKENS = 60


def copy(prefix: str, suffix: str, lines: int) -> str:
    """The text that followed the latest occurrence of the last tokens (8 down to 1), up to `lines` lines."""
    tokens = _TOKEN.findall(prefix)
    partial = tokens[-1] if tokens and tokens[-1].isidentifier() else ""
    source = [*tokens, "\0", *_TOKEN.findall(suffix)]
    for n in range(min(MAX_MATCH_TOKENS, len(tokens)), MIN_MATCH_TOKENS - 1, -1):
        end = _latest(source, tokens[-n:], len(tokens), partial)
        if end is not None:
            copied = "".join(source[end : end + _MAX_TOKENS]).split("\0")[0]
            rest = source[end - 1][len(partial) :] if partial else ""
            return "\n".join((rest + copied).split("\n")[:lines])
    return ""


def _latest(source: list[str], pattern: list[str], here: int, partial: str) -> int | None:
    """Index after the last `pattern` that does not end at `here`; its last token may be the start of a longer one."""
    n = len(pattern)
    for end in range(len(source) - 1, n - 1, -1):
        if end == here or source[end - n : end - 1] != pattern[:-1]:
            continue
        last = source[end - 1]
        if last == pattern[-1] or (partial and last.startswith(partial)):
            return end
    return None
