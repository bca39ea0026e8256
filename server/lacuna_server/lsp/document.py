"""One version of an open document, and what an edit makes of it: immutable, with LSP's line rule."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from lsprotocol import types

from lacuna_server.lsp import positions

_LINE_END = re.compile(r"\r\n|\n|\r")
Change = types.TextDocumentContentChangeEvent | None
"""None stands for a change that could not be read."""


@dataclass(frozen=True)
class Document:
    """One version of one document. Offsets count code points; columns count units of the client's encoding."""

    uri: str
    text: str
    version: int = 0
    language: str = ""
    in_step: bool = True
    """Whether `text` is known to be the editor's."""

    @cached_property
    def line_starts(self) -> list[int]:
        """Offset of each line's first character. Only LF, CRLF and CR end a line, as the protocol says."""
        return [0, *(match.end() for match in _LINE_END.finditer(self.text))]

    @cached_property
    def clean_text(self) -> str:
        """The text for a model, without halves of characters. Offsets are those of `text`."""
        return positions.without_halves(self.text)

    def offset_at(self, position: types.Position, encoding: types.PositionEncodingKind) -> int:
        """Offset of `position`; one behind the end of its line or of the text is moved to that end."""
        start, line = self._line(position.line)
        return start + positions.characters(line, position.character, encoding)

    def position_at(self, offset: int, encoding: types.PositionEncodingKind) -> types.Position:
        """The position of `offset`, which must lie in the text."""
        line = bisect_right(self.line_starts, offset) - 1
        before = self.text[self.line_starts[line] : offset]
        return types.Position(line, positions.units(before, encoding))

    def changed(self, change: Change, version: int, encoding: types.PositionEncodingKind) -> Document:
        """The document after `change`, which replaces a range or, without one, everything.

        It is out of step after a change that could not be read, or that takes a character apart which cannot be.
        """
        if isinstance(change, types.TextDocumentContentChangeWholeDocument):
            return Document(self.uri, positions.joined(change.text), version, self.language)
        if change is None or not self.in_step:
            return self.lost()
        start, first_half = self._cut(change.range.start, encoding)
        typed = change.range.end == change.range.start
        end, second_half = (start, first_half) if typed else self._cut(change.range.end, encoding)
        if first_half is None or second_half is None or end < start:
            return self.lost()
        middle = first_half[0] + change.text + second_half[1]
        return self._replaced(start, end + bool(second_half[1]), middle, version)

    def lost(self) -> Document:
        """The document when its text is not known any more."""
        return Document(self.uri, "", self.version, self.language, in_step=False)

    def _line(self, number: int) -> tuple[int, str]:
        """Offset and text of a line, without its end; the end of the text for one behind the last."""
        starts = self.line_starts
        if number >= len(starts):
            return len(self.text), ""
        if number + 1 == len(starts):
            return starts[number], self.text[starts[number] :]
        return starts[number], self.text[starts[number] : starts[number + 1]].rstrip("\r\n")

    def _cut(
        self, position: types.Position, encoding: types.PositionEncodingKind
    ) -> tuple[int, tuple[str, str] | None]:
        """The offset of `position`, and the halves of the character that it stands in, mostly empty.

        Only UTF-16 has halves that a text can hold; None where another encoding's position is inside a character.
        """
        start, line = self._line(position.line)
        passed, inside = positions.located(line, position.character, encoding)
        if not inside:
            return start + passed, ("", "")
        return start + passed, positions.halves(line[passed]) if encoding == positions.UTF16 else None

    def _replaced(self, start: int, end: int, middle: str, version: int) -> Document:
        """The document with `middle` for `start` to `end`; halves that meet there become one character."""
        text = self.text
        if start and positions.is_first_half(text[start - 1]):
            start -= 1
            middle = text[start] + middle
        if positions.is_second_half(text[end : end + 1]):
            middle += text[end]
            end += 1
        made = Document(self.uri, text[:start] + positions.joined(middle) + text[end:], version, self.language)
        vars(made)["line_starts"] = self._line_starts_after(made.text, start, end)  # fills the cached property
        return made

    def _line_starts_after(self, text: str, start: int, end: int) -> list[int]:
        """The line starts of `text`, in which something else stands for `start` to `end` of this one.

        Only what is new and the signs next to it are looked at: lines have hundreds of thousands of characters.
        """
        starts, longer = self.line_starts, len(text) - len(self.text)
        first = max(0, bisect_right(starts, max(0, start - 1)) - 1)  # a CR before it may get or lose its LF
        kept = bisect_right(starts, end)
        behind = starts[kept:] if not longer else [place + longer for place in starts[kept:]]
        until, new_end = behind[0] if behind else len(text) + 1, end + longer
        found = _LINE_END.finditer(text, max(0, start - 1), new_end + 1)  # a CR at its end may get an LF
        between = [match.end() for match in found if match.start() < new_end and match.end() < until]
        return starts[: first + 1] + between + behind
