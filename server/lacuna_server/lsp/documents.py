"""The server's copy of the open documents and notebooks, in the client's position encoding.

A document whose text may differ from the editor's is out of sync: its text is dropped, nothing is suggested in it, and
the next full text brings it back in sync.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lsprotocol import types

from lacuna_inference.api import MAX_RELATED_FILES
from lacuna_server.core.languages import path_for
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.lsp import positions
from lacuna_server.lsp.document import Change, Document
from lacuna_server.lsp.uris import file_name, uri_path


@dataclass
class Documents:
    """The open documents and notebooks. Only synchronization notifications change them, on the event loop."""

    encoding: types.PositionEncodingKind = types.PositionEncodingKind.Utf16
    _open: dict[str, Document] = field(default_factory=dict)
    _notebooks: dict[str, list[str]] = field(default_factory=dict)
    """The cells of each notebook, in order."""
    _out_of_step_notebooks: set[str] = field(default_factory=set)
    """Notebooks whose order of cells is no longer known."""

    def open(self, item: types.TextDocumentItem) -> None:
        self._open[item.uri] = Document(item.uri, positions.join_surrogates(item.text), item.version, item.language_id)

    def edit(self, uri: str, changes: Sequence[Change], version: int | None = None) -> bool:
        """Applies `changes` in order. Returns whether the document is open. Without a version it keeps its own."""
        document = self._open.get(uri)
        if document is None:
            return False
        version = document.version if version is None else version
        for change in changes:
            document = document.apply(change, version, self.encoding)
        del self._open[uri]  # keeps the last edited document last
        self._open[uri] = document
        return True

    def close(self, uri: str) -> None:
        self._open.pop(uri, None)

    def mark_out_of_step(self, uri: str, language: str = "") -> None:
        """Marks a document as out of sync, even if it was not open yet."""
        self._open[uri] = self._open.get(uri, Document(uri, "", language=language)).out_of_step()

    def mark_all_out_of_step(self) -> None:
        """Marks every document as out of sync, because an unknown one of them changed."""
        self._open = {uri: document.out_of_step() for uri, document in self._open.items()}

    def out_of_sync(self) -> list[str]:
        """The documents that are out of sync, and the cells of notebooks that are."""
        cells = {cell for notebook in self._out_of_step_notebooks for cell in self._notebooks[notebook]}
        return [uri for uri, document in self._open.items() if not document.in_sync or uri in cells]

    def open_notebook(self, params: types.DidOpenNotebookDocumentParams) -> None:
        uri = params.notebook_document.uri
        self._out_of_step_notebooks.discard(uri)
        self._notebooks[uri] = [cell.document for cell in params.notebook_document.cells]
        for item in params.cell_text_documents:
            self.open(item)

    def change_notebook(self, params: types.DidChangeNotebookDocumentParams) -> bool:
        """Moves cells and edits their texts. Returns whether the notebook and all these cells are open."""
        uri = params.notebook_document.uri
        cells = self._notebooks.get(uri)
        if cells is None:
            return False
        changed = params.change.cells or types.NotebookDocumentCellChanges()
        if (structure := changed.structure) is not None:
            array = structure.array
            if array.start + array.delete_count > len(cells):
                self.mark_notebook_out_of_step(uri)
            cells[array.start : array.start + array.delete_count] = [cell.document for cell in array.cells or ()]
            for item in structure.did_open or ():
                self.open(item)
            for closed in structure.did_close or ():
                self.close(closed.uri)
        applied = [
            self.edit(content.document.uri, content.changes, content.document.version)
            for content in changed.text_content or ()
        ]
        return all(applied)

    def mark_notebook_out_of_step(self, uri: str, cells: Sequence[str] = ()) -> None:
        """Marks a notebook's cells, and `cells`, as out of sync until it is opened again."""
        self._out_of_step_notebooks.add(uri)
        known = self._notebooks.setdefault(uri, [])
        known += [cell for cell in cells if cell not in known]
        for cell in known:
            self.mark_out_of_step(cell)

    def close_notebook(self, uri: str, cells: Sequence[str]) -> list[str]:
        """Closes a notebook's cells, and `cells`. Returns all of them."""
        self._out_of_step_notebooks.discard(uri)
        closed = list(dict.fromkeys([*self._notebooks.pop(uri, []), *cells]))
        for cell in closed:
            self.close(cell)
        return closed

    def get(self, uri: str) -> Document | None:
        return self._open.get(uri)

    def snapshot(
        self, uri: str, position: types.Position, may_be_read: Callable[[str], bool] = lambda _: True
    ) -> Snapshot | None:
        """Text and cursor as they are now, or None for a document that is not open.

        The text of a cell is that of all cells of its notebook with the same language. `may_be_read` decides by path
        which other documents may be used as related files.
        """
        document = self._open.get(uri)
        if document is None:
            return None
        before, after = self._cells_around(document)
        path = uri_path(uri)
        if not self._all_in_sync(document, before, after):
            return Snapshot("", 0, document_id=uri, language=document.language, uri_path=path, in_sync=False)
        own = {uri, *(cell.uri for cell in (*before, *after))}
        related_files = [
            other for other in self._open.values() if other.language == document.language and other.in_sync
        ]
        related_files = [other for other in related_files if other.uri not in own and may_be_read(uri_path(other.uri))]
        above = "".join(cell.clean_text + "\n" for cell in before)
        below = "".join("\n" + cell.clean_text for cell in after)
        return Snapshot(
            text=above + document.clean_text + below,
            offset=len(above) + document.offset_at(position, self.encoding),
            path=path_for(file_name(uri), document.language),
            document_id=uri,
            related_files=tuple(other.clean_text for other in related_files[-MAX_RELATED_FILES:]),
            language=document.language,
            uri_path=path,
        )

    def _all_in_sync(self, document: Document, before: Sequence[Document], after: Sequence[Document]) -> bool:
        """Whether a document and the cells around it are in sync."""
        out_of_step = self._notebook_of(document.uri) in self._out_of_step_notebooks
        return not out_of_step and all(cell.in_sync for cell in (document, *before, *after))

    def _notebook_of(self, cell: str) -> str | None:
        return next((uri for uri, cells in self._notebooks.items() if cell in cells), None)

    def _cells_around(self, document: Document) -> tuple[list[Document], list[Document]]:
        """The cells of the same language above and below `document`, if it is a cell."""
        notebook = self._notebook_of(document.uri)
        if notebook is None:
            return [], []
        uris = self._notebooks[notebook]
        index = uris.index(document.uri)
        above, below = (
            [cell for uri in part if (cell := self._open.get(uri)) and cell.language == document.language]
            for part in (uris[:index], uris[index + 1 :])
        )
        return above, below
