"""Somebody who types a known text, and accepts suggestions where they are what he would write. Pure: knows no time.

What he writes never differs from the text that he has in mind, whatever is shown to him.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

MIN_ACCEPTED_KEYS = 2
"""Keys that accepted text must replace: to accept is a key, too."""
_ENTER = re.compile(r"\n[ \t]*")
_FIRST_WORD = re.compile(r"\s*(?:\w+|[^\w\s]+)")
_FIRST_LINE = re.compile(r"\s*[^\n]*")


class Kind(StrEnum):
    """How much of a suggestion is accepted at once."""

    WORD = "word"
    LINE = "line"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Key:
    """The text that one key writes: a character, a line end with the next line's indentation, or accepted text."""

    text: str
    accepted: Kind | None = None

    @property
    def characters(self) -> int:
        """Keys that it takes to type the text."""
        return keys_to_type(self.text)


class Typist:
    """The text still to be written, and the suggestion that is visible.

    A suggestion stays while its characters are typed or accepted, as in VS Code and llama.vim, and goes at the first
    other one.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._written = 0
        self.shown = ""
        """The visible suggestion, without what has been written of it; empty if there is none."""

    @property
    def remaining(self) -> str:
        return self._target[self._written :]

    @property
    def at_line_start(self) -> bool:
        """Whether the next key is the first of a line."""
        return not self._target[: self._written].rpartition("\n")[2].strip()

    def see(self, suggestion: str) -> bool:
        """Shows `suggestion`, unless one is visible. Returns whether that is a new display."""
        if self.shown or not suggestion.strip():
            return False
        self.shown = suggestion
        return True

    def next_key(self) -> Key:
        """What he presses now. There must be something to write."""
        return acceptable(self.shown, self.remaining) or typed(self.remaining)

    def press(self, key: Key) -> None:
        """Writes the key's text."""
        assert self.remaining.startswith(key.text)
        rest = self.shown.removeprefix(key.text) if self.shown.startswith(key.text) else ""
        self.shown = rest if rest.strip() else ""
        self._written += len(key.text)


def is_right(shown: str, reference: str) -> bool:
    """Whether the first line that is shown is what would be written, up to a word's end."""
    return begins(reference, _first_line(shown))


def acceptable(shown: str, reference: str) -> Key | None:
    """The most of `shown` that may be accepted with one key: all of it, its first line, or its first word.

    Blanks at its end do not count. None if nothing of it is right, or what is would take no more than a key to type.
    """
    word = _FIRST_WORD.match(shown)
    for text in (shown.rstrip(), _first_line(shown), word.group() if word else ""):
        if begins(reference, text) and keys_to_type(text) >= MIN_ACCEPTED_KEYS:
            kind = Kind.WORD if word and text == word.group() else Kind.BLOCK if "\n" in text.strip() else Kind.LINE
            return Key(text, kind)
    return None


def typed(reference: str) -> Key:
    """The next key without a suggestion. Enter also writes the indentation of the line it begins."""
    enter = _ENTER.match(reference)
    return Key(enter.group() if enter else reference[0])


def begins(reference: str, text: str) -> bool:
    """Whether `reference` begins with `text`, and no word of it is cut."""
    following = reference[len(text) : len(text) + 1]
    return bool(text) and reference.startswith(text) and not (in_word(text[-1]) and in_word(following))


def keys_to_type(text: str) -> int:
    """Keys that write `text`."""
    return len(_ENTER.sub("\n", text))


def in_word(character: str) -> bool:
    """Whether identifiers have this character; none is none of theirs."""
    return character.isalnum() or character == "_"


def _first_line(shown: str) -> str:
    """The first line with a character, and the blanks and line ends before it."""
    match = _FIRST_LINE.match(shown)
    return match.group().rstrip() if match else ""
