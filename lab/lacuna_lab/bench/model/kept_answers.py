"""What llama.vim shows without asking: answers that it keeps while the user types along them.

Each answer is kept under the text around its hole. At a cursor the plug-in looks up to 128 characters back for answers
that begin with what was typed since, and shows what the longest of them has left; only where there is none it asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lacuna_lab.bench.model.questions import Reply, TypedKey

_CHARACTERS_BACK = 128


def with_kept_answers(keys: Sequence[TypedKey], replies: Sequence[Reply]) -> list[Reply]:
    """The replies to `keys` if only those were asked for that no kept answer serves; a served one takes no time."""
    kept: dict[tuple[str, str], str] = {}
    found: list[Reply] = []
    for key, reply in zip(keys, replies, strict=True):
        prefix, suffix = key.question.prefix, key.question.suffix
        rest = _rest(kept, prefix, suffix)
        if rest:
            found.append(replace(reply, text=rest, taken_s=0.0, read=0, evaluated=0))
        else:
            kept[prefix, suffix] = reply.text
            found.append(reply)
    return found


def _rest(kept: dict[tuple[str, str], str], prefix: str, suffix: str) -> str:
    """What the kept answers have left at this cursor, or nothing."""
    rests = [
        text[back:]
        for back in range(min(_CHARACTERS_BACK, len(prefix)) + 1)
        if (text := kept.get((prefix[: len(prefix) - back], suffix), "")).startswith(prefix[len(prefix) - back :])
    ]
    return max(rests, key=len, default="")
