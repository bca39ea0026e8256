"""What llama.vim asks llama.cpp's server for, what it keeps, and what of it it shows. Pure.

Taken from the behaviour of its published version of January 2026. Not taken: its ring of chunks from other places. Into
that come chunks when something is yanked, a buffer is entered, or a file is saved, and they are used only after three
seconds without a key; a task here is one file and is typed without such pauses.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

N_PREFIX, N_SUFFIX = 256, 64
"""Lines before and after the cursor's that are sent."""
N_PREDICT = 128
MAX_LINE_SUFFIX = 8
"""With more characters to the right of the cursor, it does not ask by itself."""
MAX_CACHED = 250
"""Answers that are kept, by the text around them."""
LOOK_BACK = 128
"""Characters that may have been typed since an answer that is still used."""
DROPPED_LINES = 3
"""Lines that may be missing at the beginning of the text for which an answer is kept."""
PROMPT_MS, FIRST_MS, NEXT_MS = 500, 250, 1000
"""Limits in milliseconds: to read the prompt; to write an answer; to write one in advance, for after the shown one."""
RETRY_S = 0.1
"""While an answer is on its way, nothing else is asked; it tries again after this time."""
_MARK = "Î"


@dataclass(frozen=True, slots=True)
class Context:
    """The text around a cursor as it is sent: whole lines before, the line up to the cursor, the rest."""

    prefix: str
    middle: str
    suffix: str
    indent: int
    line_rest: str

    @property
    def asks(self) -> bool:
        """Whether it asks by itself here."""
        return len(self.line_rest) <= MAX_LINE_SUFFIX

    def body(self, timed: bool, limit_ms: int = FIRST_MS, seed: int = 0) -> dict[str, Any]:
        """The body for /infill, with the limits of time if `timed`, else for an answer in pieces.

        A seed is added: its sampling would be random.
        """
        limits = {"t_max_prompt_ms": PROMPT_MS, "t_max_predict_ms": limit_ms} if timed else {}
        return {
            "id_slot": 0, "input_prefix": self.prefix, "input_suffix": self.suffix, "input_extra": [],
            "prompt": self.middle, "n_predict": N_PREDICT, "stop": [], "n_indent": self.indent, "top_k": 40,
            "top_p": 0.9, "samplers": ["top_k", "top_p", "infill"], "stream": not timed, "cache_prompt": True,
            "seed": seed, **limits,
        }  # fmt: skip

    def cache_keys(self) -> list[str]:
        """What its answer is kept under: also without the first lines, which scroll out of the text that is sent."""
        keys, prefix = [_key(self.prefix + self.middle, self.suffix)], self.prefix
        for _ in range(DROPPED_LINES):
            prefix = prefix.partition("\n")[2]
            if not prefix:
                break
            keys.append(_key(prefix + self.middle, self.suffix))
        return keys


def context(before: str, after: str) -> Context:
    """What is sent with the cursor between `before` and `after`. A line of blanks alone is sent as an empty one."""
    *lines_before, typed = before.split("\n")
    rest, *lines_after = _lines(after)
    if not (typed + rest).strip():
        return _context(lines_before, "", "", lines_after, 0)
    line = typed + rest
    return _context(lines_before, typed, rest, lines_after, len(line) - len(line.lstrip()))


def context_after(before: str, after: str, shown: str, indent: int) -> Context:
    """What is sent in advance: as if the suggestion `shown` were accepted. `indent` is that of the request before."""
    *lines_before, typed = (before + shown).split("\n")
    rest, *lines_after = _lines(after)
    return _context(lines_before, typed + rest, "", lines_after, indent)


class Answers:
    """The answers that are kept, the least recently used ones dropped."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, str] = OrderedDict()

    def put(self, asked: Context, answer: str) -> None:
        for key in asked.cache_keys():
            self._answers[key] = answer
            self._answers.move_to_end(key)
            if len(self._answers) > MAX_CACHED:
                self._answers.popitem(last=False)

    def has(self, asked: Context) -> bool:
        """Whether nothing need be asked."""
        return any(self._get(key) is not None for key in asked.cache_keys())

    def find(self, at: Context) -> str | None:
        """The answer at a cursor, or the rest of one to a cursor before it, if what was typed since agrees with it.

        Of several rests the one at the nearest cursor counts only if there is no other; of the others, the longest.
        """
        exact = self._get(_key(at.prefix + at.middle, at.suffix))
        return exact if exact is not None else self._rest(at.prefix + at.middle, at.suffix)

    def _rest(self, text: str, suffix: str) -> str | None:
        found: list[str] = []
        for length in range(1, min(LOOK_BACK, len(text)) + 1):
            answer = self._get(_key(text[:-length], suffix))
            if answer and answer.startswith(text[-length:]) and len(answer) > length:
                found.append(answer[length:])
        return max(found[1:] or found, key=len, default=None)

    def _get(self, key: str) -> str | None:
        if key in self._answers:
            self._answers.move_to_end(key)
        return self._answers.get(key)


def shown(answer: str, before: str, after: str) -> str:
    """The text that is shown for an answer at the cursor; empty for nothing.

    In a line of blanks, its blanks are not shown again. If the answer has fewer than the line, accepting it would take
    blanks away; it is shown as if it had as many, to llama.vim's advantage.
    """
    lines = answer.split("\n")
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        return ""
    typed, (rest, *following) = before.rpartition("\n")[2], _lines(after)
    if not (typed + rest).strip():
        there = min(len(lines[0]) - len(lines[0].lstrip()), len(typed))
        typed, rest, lines[0] = lines[0][:there], "", lines[0][there:]
    text = "\n".join(lines)
    return "" if not text.strip() or _repeats(lines, typed, rest, following) else text


def is_enough(answer: str, before: str, after: str, reference: str) -> bool:
    """Whether more of an unfinished answer cannot matter to somebody who writes `reference` at the cursor.

    That is so at the end of the line in which it leaves the reference, if that is not the first; but where it may be
    hidden because it repeats what follows, all of it matters.
    """
    typed, (_, *following) = before.rpartition("\n")[2], _lines(after)
    text = answer if typed.strip() else answer.removeprefix(typed)
    first = len(text) - len(text.lstrip())
    agrees = next((n for n, (a, b) in enumerate(zip(text, reference, strict=False)) if a != b), len(reference))
    is_complete = text.find("\n", max(first, agrees)) >= 0
    return is_complete and "\n" not in text[:first] and typed + text.partition("\n")[0] not in following


def _repeats(lines: Sequence[str], typed: str, rest: str, following: Sequence[str]) -> bool:
    """Whether what would be shown stands after the cursor already."""
    if len(lines) > 1 and not lines[0] and lines[1:] == following[: len(lines) - 1]:
        return True
    if len(lines) == 1 and lines[0] == rest:
        return True
    below = next((number for number, line in enumerate(following) if line.strip()), len(following) - 1)
    if not following or typed + lines[0] != following[below]:
        return False
    after = following[below + 1 : below + len(lines)]
    return len(lines) == 1 or (len(lines) == 2 and bool(after) and after[0].startswith(lines[1])) or lines[1:] == after


def _context(before: Sequence[str], typed: str, rest: str, after: Sequence[str], indent: int) -> Context:
    prefix = "\n".join(before[-N_PREFIX:]) + "\n"
    suffix = rest + "\n" + "\n".join(after[:N_SUFFIX]) + "\n"
    return Context(prefix, typed, suffix, indent, rest)


def _lines(after: str) -> list[str]:
    """The rest of the cursor's line, and the lines after it. The end of the last line begins no other."""
    return after.removesuffix("\n").split("\n")


def _key(before: str, after: str) -> str:
    return before + _MARK + after
