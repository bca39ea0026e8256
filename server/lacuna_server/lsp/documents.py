"""The server's copy of the open documents: immutable texts, LSP's line rule, three position encodings."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote, urlsplit

from lsprotocol import types

from lacuna_inference.api import MOST_NEARBY
from lacuna_server.core.snapshot import Snapshot

_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class Document:
    """One version of one document. Offsets count code points; columns count units of the client's encoding."""

    uri: str
    text: str
    version: int = 0
    language: str = ""

    @cached_property
    def line_starts(self) -> list[int]:
        """Offset of each line's first character. Only LF, CRLF and CR end a line, as the protocol says."""
        return [0, *(match.end() for match in _LINE_END.finditer(self.text))]

    def offset_at(self, position: types.Position, encoding: types.PositionEncodingKind) -> int:
        """Offset of `position`; one behind the end of its line or of the text is moved to that end."""
        starts = self.line_starts
        if position.line >= len(starts):
            return len(self.text)
        start = starts[position.line]
        following = starts[position.line + 1] if position.line + 1 < len(starts) else len(self.text)
        line = self.text[start:following]
        if position.line + 1 < len(starts):
            line = line.rstrip("\r\n")
        return start + _characters(line, position.character, encoding)

    def position_at(self, offset: int, encoding: types.PositionEncodingKind) -> types.Position:
        """The position of `offset`, which must lie in the text."""
        line = bisect_right(self.line_starts, offset) - 1
        before = self.text[self.line_starts[line] : offset]
        return types.Position(line, _units(before, encoding))

    def changed(
        self, change: types.TextDocumentContentChangeEvent, version: int, encoding: types.PositionEncodingKind
    ) -> Document:
        """The document after `change`, which replaces a range or, without one, everything."""
        if isinstance(change, types.TextDocumentContentChangePartial):
            start = self.offset_at(change.range.start, encoding)
            end = max(start, self.offset_at(change.range.end, encoding))
            text = self.text[:start] + change.text + self.text[end:]
        else:
            text = change.text
        return Document(self.uri, text, version, self.language)


@dataclass
class Documents:
    """The open documents. Changed by the four text-synchronisation notifications only, on the event loop."""

    encoding: types.PositionEncodingKind = types.PositionEncodingKind.Utf16
    _open: dict[str, Document] = field(default_factory=dict)

    def open(self, item: types.TextDocumentItem) -> None:
        self._open[item.uri] = Document(item.uri, item.text, item.version, item.language_id)

    def change(self, params: types.DidChangeTextDocumentParams) -> bool:
        """Applies the changes in order; whether the document was open."""
        document = self._open.get(params.text_document.uri)
        if document is None:
            return False
        for change in params.content_changes:
            document = document.changed(change, params.text_document.version, self.encoding)
        del self._open[document.uri]  # the one that was edited last stands last
        self._open[document.uri] = document
        return True

    def close(self, uri: str) -> None:
        self._open.pop(uri, None)

    def get(self, uri: str) -> Document | None:
        return self._open.get(uri)

    def snapshot(self, uri: str, position: types.Position) -> Snapshot | None:
        """Text and cursor as they are now, or None for a document that is not open."""
        document = self._open.get(uri)
        if document is None:
            return None
        alike = (other for other in self._open.values() if other.language == document.language and other.uri != uri)
        nearby = tuple(other.text for other in alike)[-MOST_NEARBY:]
        return Snapshot(document.text, document.offset_at(position, self.encoding), file_name(uri), uri, nearby)


def file_name(uri: str) -> str | None:
    """Path of a document's URI, for the prompt's header; None for an untitled one."""
    parts = urlsplit(uri)
    return unquote(parts.path) if parts.scheme in ("file", "vscode-notebook-cell") and parts.path else None


def _characters(line: str, units: int, encoding: types.PositionEncodingKind) -> int:
    """How many characters of `line` the first `units` units are; a unit inside a character counts as before it."""
    if encoding == types.PositionEncodingKind.Utf32 or line.isascii():
        return min(units, len(line))
    passed = 0
    for number, character in enumerate(line):
        passed += _units(character, encoding)
        if passed > units:
            return number
    return len(line)


def _units(text: str, encoding: types.PositionEncodingKind) -> int:
    if encoding == types.PositionEncodingKind.Utf8:
        return len(text.encode("utf-8", "surrogatepass"))
    if encoding == types.PositionEncodingKind.Utf16:
        return len(text) + sum(character > "\uffff" for character in text)
    return len(text)
