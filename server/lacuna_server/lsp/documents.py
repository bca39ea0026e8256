"""The server's copy of the open documents: immutable texts, LSP's line rule, three position encodings."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote, urlsplit

from lsprotocol import types

from lacuna_inference.api import MOST_NEARBY
from lacuna_server.core.languages import path_for
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
            changed = Document(self.uri, self.text[:start] + change.text + self.text[end:], version, self.language)
            vars(changed)["line_starts"] = self._line_starts_after(
                changed.text, start, end
            )  # fills the cached property
            return changed
        return Document(self.uri, change.text, version, self.language)

    def _line_starts_after(self, text: str, start: int, end: int) -> list[int]:
        """The line starts of `text`, in which something else stands for `start` to `end` of this one.

        Only the lines around it are looked at: a line that begins behind it, behind an untouched end, is as it was.
        """
        starts, longer = self.line_starts, len(text) - len(self.text)
        first = max(0, bisect_right(starts, max(0, start - 1)) - 1)  # a CR before it may get or lose its LF
        kept = bisect_right(starts, end)
        behind = starts[kept:] if not longer else [place + longer for place in starts[kept:]]
        until = behind[0] if behind else len(text)
        between = [match.end() for match in _LINE_END.finditer(text, starts[first], until)]
        return starts[: first + 1] + (between[:-1] if behind else between) + behind


@dataclass
class Documents:
    """The open documents and notebooks. Changed by the synchronisation notifications only, on the event loop."""

    encoding: types.PositionEncodingKind = types.PositionEncodingKind.Utf16
    _open: dict[str, Document] = field(default_factory=dict)
    _notebooks: dict[str, list[str]] = field(default_factory=dict)
    """The cells of each notebook, in order."""

    def open(self, item: types.TextDocumentItem) -> None:
        self._open[item.uri] = Document(item.uri, item.text, item.version, item.language_id)

    def change(self, params: types.DidChangeTextDocumentParams) -> bool:
        """Applies the changes in order; whether the document was open."""
        return self._edit(params.text_document, params.content_changes)

    def close(self, uri: str) -> None:
        self._open.pop(uri, None)

    def open_notebook(self, params: types.DidOpenNotebookDocumentParams) -> None:
        self._notebooks[params.notebook_document.uri] = [cell.document for cell in params.notebook_document.cells]
        for item in params.cell_text_documents:
            self.open(item)

    def change_notebook(self, params: types.DidChangeNotebookDocumentParams) -> bool:
        """Moves cells and edits their texts; whether the notebook and all these cells were open."""
        cells = self._notebooks.get(params.notebook_document.uri)
        if cells is None:
            return False
        changed = params.change.cells or types.NotebookDocumentCellChanges()
        if (structure := changed.structure) is not None:
            place = structure.array
            cells[place.start : place.start + place.delete_count] = [cell.document for cell in place.cells or ()]
            for item in structure.did_open or ():
                self.open(item)
            for closed in structure.did_close or ():
                self.close(closed.uri)
        applied = [self._edit(content.document, content.changes) for content in changed.text_content or ()]
        return all(applied)

    def close_notebook(self, params: types.DidCloseNotebookDocumentParams) -> None:
        self._notebooks.pop(params.notebook_document.uri, None)
        for cell in params.cell_text_documents:
            self.close(cell.uri)

    def get(self, uri: str) -> Document | None:
        return self._open.get(uri)

    def snapshot(
        self, uri: str, position: types.Position, may_be_read: Callable[[str], bool] = lambda _: True
    ) -> Snapshot | None:
        """Text and cursor as they are now, or None for a document that is not open.

        A cell stands in the text of all cells of its notebook that have its language. `may_be_read` is asked for the
        place of each nearby document.
        """
        document = self._open.get(uri)
        if document is None:
            return None
        before, after = self._cells_around(document)
        own = {uri, *(cell.uri for cell in (*before, *after))}
        nearby = [other for other in self._open.values() if other.language == document.language]
        nearby = [other for other in nearby if other.uri not in own and may_be_read(place_of(other.uri))]
        above = "".join(cell.text + "\n" for cell in before)
        below = "".join("\n" + cell.text for cell in after)
        return Snapshot(
            text=above + document.text + below,
            offset=len(above) + document.offset_at(position, self.encoding),
            path=path_for(file_name(uri), document.language),
            key=uri,
            nearby=tuple(other.text for other in nearby[-MOST_NEARBY:]),
            language=document.language,
            place=place_of(uri),
        )

    def _edit(
        self,
        identifier: types.VersionedTextDocumentIdentifier,
        changes: Sequence[types.TextDocumentContentChangeEvent],
    ) -> bool:
        document = self._open.get(identifier.uri)
        if document is None:
            return False
        for change in changes:
            document = document.changed(change, identifier.version, self.encoding)
        del self._open[document.uri]  # the one that was edited last stands last
        self._open[document.uri] = document
        return True

    def _cells_around(self, document: Document) -> tuple[list[Document], list[Document]]:
        """The cells of the same language above and below `document`, if it is one."""
        for uris in self._notebooks.values():
            if document.uri in uris:
                place = uris.index(document.uri)
                above, below = (
                    [cell for uri in part if (cell := self._open.get(uri)) and cell.language == document.language]
                    for part in (uris[:place], uris[place + 1 :])
                )
                return above, below
        return [], []


def place_of(uri: str) -> str:
    """The path in a URI of any scheme."""
    return unquote(urlsplit(uri).path)


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
