"""Random edits, encodings and moves of cells, step by step, against a model of plain strings and lists."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from lsprotocol import types
from test_documents import ENCODINGS, WILD, position_of, splits_line_end

from lacuna_server.lsp.documents import Documents

NOTEBOOK = "file:///book.ipynb"
LANGUAGES = st.sampled_from(["python", "markdown"])
OFFSETS = st.integers(0, 80)


class Editor(RuleBasedStateMachine):
    """An editor that keeps its texts as strings, and the cells of a notebook as a list, beside the server's copy."""

    @initialize(encoding=st.sampled_from(ENCODINGS))
    def connect(self, encoding: types.PositionEncodingKind) -> None:
        self.server = Documents(encoding)
        self.texts: dict[str, str] = {}
        self.languages: dict[str, str] = {}
        self.cells: list[str] | None = None
        self.number = 0

    @rule(text=WILD, language=LANGUAGES)
    def open_file(self, text: str, language: str) -> None:
        self.server.open(self._new(f"file:///{self.number}.py", text, language))

    @precondition(lambda self: self.texts)
    @rule(data=st.data(), edits=st.lists(st.tuples(OFFSETS, st.integers(0, 12), WILD), min_size=1, max_size=3))
    def edit(self, data: st.DataObject, edits: list[tuple[int, int, str]]) -> None:
        uri = data.draw(st.sampled_from(sorted(self.texts)))
        changes = self._changes(uri, edits)
        if self.cells is not None and uri in self.cells:
            identifier = types.VersionedTextDocumentIdentifier(1, uri)
            content = types.NotebookDocumentCellContentChanges(identifier, changes)
            assert self._changed(types.NotebookDocumentCellChanges(text_content=[content]))
        else:
            assert self.server.edit(uri, changes)

    @precondition(lambda self: self.texts)
    @rule(data=st.data(), text=WILD)
    def replace_everything(self, data: st.DataObject, text: str) -> None:
        uri = data.draw(st.sampled_from(sorted(self.texts)))
        whole = types.TextDocumentContentChangeWholeDocument(text)
        assert self.server.edit(uri, [whole])
        self.texts[uri] = text

    @rule(data=st.data())
    def close_file(self, data: st.DataObject) -> None:
        files = [uri for uri in sorted(self.texts) if uri not in (self.cells or [])]
        if files:
            uri = data.draw(st.sampled_from(files))
            self.server.close(uri)
            del self.texts[uri]
            assert self.server.snapshot(uri, types.Position(0, 0)) is None

    @precondition(lambda self: self.cells is None)
    @rule(cells=st.lists(st.tuples(WILD, LANGUAGES), max_size=4))
    def open_notebook(self, cells: list[tuple[str, str]]) -> None:
        items = [self._new(f"cell:{self.number}", text, language) for text, language in cells]
        self.cells = [item.uri for item in items]
        notebook = types.NotebookDocument(NOTEBOOK, "jupyter", 1, self._cells(self.cells))
        self.server.open_notebook(types.DidOpenNotebookDocumentParams(notebook, items))

    @precondition(lambda self: self.cells is not None)
    @rule(start=OFFSETS, count=st.integers(0, 2), cells=st.lists(st.tuples(WILD, LANGUAGES), max_size=2))
    def replace_cells(self, start: int, count: int, cells: list[tuple[str, str]]) -> None:
        assert self.cells is not None
        start = min(start, len(self.cells))
        gone = self.cells[start : start + count]
        items = [self._new(f"cell:{self.number}", text, language) for text, language in cells]
        self._restructure(start, len(gone), [item.uri for item in items], items, gone)
        for uri in gone:
            del self.texts[uri]

    @precondition(lambda self: self.cells)
    @rule(start=OFFSETS, to=OFFSETS)
    def move_a_cell(self, start: int, to: int) -> None:
        """As VS Code does: one change removes the cell, another inserts it; its text stays open."""
        assert self.cells is not None
        start %= len(self.cells)
        moved = self.cells[start]
        self._restructure(start, 1, [], [], [])
        self._restructure(min(to, len(self.cells)), 0, [moved], [], [])

    @precondition(lambda self: self.cells is not None)
    @rule()
    def close_notebook(self) -> None:
        assert self.cells is not None
        self.server.close_notebook(NOTEBOOK, self.cells)
        for uri in self.cells:
            del self.texts[uri]
        self.cells = None

    @rule(text=WILD)
    def touch_documents_that_are_not_open(self, text: str) -> None:
        whole = types.TextDocumentContentChangeWholeDocument(text)
        assert not self.server.edit("file:///nowhere.py", [whole])

    @invariant()
    def both_hold_the_same(self) -> None:
        for uri, text in self.texts.items():
            document = self.server.get(uri)
            assert document is not None
            assert document.text == text

    @precondition(lambda self: self.texts)
    @rule(data=st.data(), position=OFFSETS)
    def ask(self, data: st.DataObject, position: int) -> None:
        uri = data.draw(st.sampled_from(sorted(self.texts)))
        text = self.texts[uri]
        offset = min(position, len(text))
        if splits_line_end(text, offset):
            return
        snapshot = self.server.snapshot(uri, position_of(text, offset, self.server.encoding))
        assert snapshot is not None
        above, below = self._around(uri)
        assert snapshot.prefix == "".join(cell + "\n" for cell in above) + text[:offset]
        assert snapshot.suffix == text[offset:] + "".join("\n" + cell for cell in below)

    def _new(self, uri: str, text: str, language: str) -> types.TextDocumentItem:
        self.number += 1
        self.texts[uri], self.languages[uri] = text, language
        return types.TextDocumentItem(uri, language, 0, text)

    def _around(self, uri: str) -> tuple[list[str], list[str]]:
        if self.cells is None or uri not in self.cells:
            return [], []
        position = self.cells.index(uri)
        alike = [(n, c) for n, c in enumerate(self.cells) if self.languages[c] == self.languages[uri]]
        return [self.texts[c] for n, c in alike if n < position], [self.texts[c] for n, c in alike if n > position]

    def _changes(self, uri: str, edits: list[tuple[int, int, str]]) -> list[types.TextDocumentContentChangeEvent]:
        """The edits in the protocol's terms, each relative to the text that the previous one left."""
        changes: list[types.TextDocumentContentChangeEvent] = []
        for position, length, inserted in edits:
            text = self.texts[uri]
            start, end = min(position, len(text)), min(position + length, len(text))
            if splits_line_end(text, start) or splits_line_end(text, end):
                continue
            span = (position_of(text, offset, self.server.encoding) for offset in (start, end))
            changes.append(types.TextDocumentContentChangePartial(types.Range(*span), inserted))
            self.texts[uri] = text[:start] + inserted + text[end:]
        return changes

    def _cells(self, uris: list[str]) -> list[types.NotebookCell]:
        return [types.NotebookCell(types.NotebookCellKind.Code, uri) for uri in uris]

    def _restructure(
        self, start: int, count: int, put: list[str], opened: list[types.TextDocumentItem], closed: list[str]
    ) -> None:
        assert self.cells is not None
        self.cells[start : start + count] = put
        array = types.NotebookCellArrayChange(start, count, self._cells(put))
        gone = [types.TextDocumentIdentifier(uri) for uri in closed]
        structure = types.NotebookDocumentCellChangeStructure(array, opened, gone)
        assert self._changed(types.NotebookDocumentCellChanges(structure))

    def _changed(self, cells: types.NotebookDocumentCellChanges) -> bool:
        identifier = types.VersionedNotebookDocumentIdentifier(1, NOTEBOOK)
        event = types.NotebookDocumentChangeEvent(cells=cells)
        return self.server.change_notebook(types.DidChangeNotebookDocumentParams(identifier, event))


TestEditor = Editor.TestCase
TestEditor.settings = settings(max_examples=300, stateful_step_count=50, suppress_health_check=[HealthCheck.too_slow])
"""At least ten thousand steps."""
