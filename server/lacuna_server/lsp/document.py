"""One version of an open document, immutable, with LSP's line rule, and the application of edits to it."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from lsprotocol import types

from lacuna_server.lsp import positions

_LINE_END = re.compile(r"\r\n|\n|\r")
Change = types.TextDocumentContentChangeEvent | None
"""None is a change that could not be read."""


@dataclass(frozen=True)
class Document:
    """One version of one document. Offsets count code points; columns count units of the client's encoding."""

    uri: str
    text: str
    version: int = 0
    language: str = ""
    in_sync: bool = True
    """Whether `text` is known to be the text in the editor."""

    @cached_property
    def line_starts(self) -> list[int]:
        """Offset of each line's first character. As the protocol says, only LF, CRLF and CR end a line."""
        return [0, *(match.end() for match in _LINE_END.finditer(self.text))]

    @cached_property
    def clean_text(self) -> str:
        """The text for a model, with lone surrogates replaced. Offsets are those of `text`."""
        return positions.replace_surrogates(self.text)

    def offset_at(self, position: types.Position, encoding: types.PositionEncodingKind) -> int:
        """Offset of `position`; one past the end of its line or of the text is clamped to that end."""
        start, line = self._line(position.line)
        return start + positions.characters(line, position.character, encoding)

    def position_at(self, offset: int, encoding: types.PositionEncodingKind) -> types.Position:
        """Position of `offset`, which must be within the text."""
        line = bisect_right(self.line_starts, offset) - 1
        before = self.text[self.line_starts[line] : offset]
        return types.Position(line, positions.units(before, encoding))

    def apply(self, change: Change, version: int, encoding: types.PositionEncodingKind) -> Document:
        """The document after `change`, which replaces a range or, without one, everything.

        It is out of sync after a change that could not be read, or that splits a character which cannot be split.
        """
        if isinstance(change, types.TextDocumentContentChangeWholeDocument):
            return Document(self.uri, positions.join_surrogates(change.text), version, self.language)
        if change is None or not self.in_sync:
            return self.out_of_step()
        start, at_start = self._split(change.range.start, encoding)
        is_insertion = change.range.end == change.range.start
        end, at_end = (start, at_start) if is_insertion else self._split(change.range.end, encoding)
        if at_start is None or at_end is None or end < start:
            return self.out_of_step()
        replacement = at_start[0] + change.text + at_end[1]
        return self._replace(start, end + bool(at_end[1]), replacement, version)

    def out_of_step(self) -> Document:
        """The document with its text dropped, because it is no longer known."""
        return Document(self.uri, "", self.version, self.language, in_sync=False)

    def _line(self, number: int) -> tuple[int, str]:
        """Offset and text of a line, without its line end; for a line past the last one, the end of the text."""
        starts = self.line_starts
        if number >= len(starts):
            return len(self.text), ""
        if number + 1 == len(starts):
            return starts[number], self.text[starts[number] :]
        return starts[number], self.text[starts[number] : starts[number + 1]].rstrip("\r\n")

    def _split(
        self, position: types.Position, encoding: types.PositionEncodingKind
    ) -> tuple[int, tuple[str, str] | None]:
        """The offset of `position`, and the surrogates of the character that it splits, or two empty strings.

        Only UTF-16 can split a character into parts that a text can hold; None when another encoding's position is
        inside a character.
        """
        start, line = self._line(position.line)
        characters, inside = positions.split_position(line, position.character, encoding)
        offset = start + characters
        if not inside:
            return offset, ("", "")
        return offset, positions.surrogate_pair(line[characters]) if encoding == positions.UTF16 else None

    def _replace(self, start: int, end: int, replacement: str, version: int) -> Document:
        """The document with `replacement` for `start` to `end`; surrogates that meet there form one character."""
        text = self.text
        if start and positions.is_high_surrogate(text[start - 1]):
            start -= 1
            replacement = text[start] + replacement
        if positions.is_low_surrogate(text[end : end + 1]):
            replacement += text[end]
            end += 1
        new_text = text[:start] + positions.join_surrogates(replacement) + text[end:]
        document = Document(self.uri, new_text, version, self.language)
        vars(document)["line_starts"] = self._line_starts_after(new_text, start, end)  # fills the cached property
        return document

    def _line_starts_after(self, text: str, start: int, end: int) -> list[int]:
        """The line starts of `text`, in which `start` to `end` of this document's text was replaced.

        Scans only the replacement and the characters next to it: lines may have hundreds of thousands of characters.
        """
        starts, growth = self.line_starts, len(text) - len(self.text)
        first = max(0, bisect_right(starts, max(0, start - 1)) - 1)  # a CR before the edit may gain or lose its LF
        unchanged = bisect_right(starts, end)
        after = starts[unchanged:] if not growth else [offset + growth for offset in starts[unchanged:]]
        limit, new_end = after[0] if after else len(text) + 1, end + growth
        matches = _LINE_END.finditer(text, max(0, start - 1), new_end + 1)  # a CR at its end may gain an LF
        between = [match.end() for match in matches if match.start() < new_end and match.end() < limit]
        return starts[: first + 1] + between + after
