"""The server's text is the editor's text: random edits against a plain model, in every encoding."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from lacuna_server.core.languages import path_for
from lacuna_server.lsp import positions
from lacuna_server.lsp.document import Document
from lacuna_server.lsp.documents import Documents
from lacuna_server.lsp.to_lsp import word_before
from lacuna_server.lsp.uris import file_name

UTF8, UTF16, UTF32 = types.PositionEncodingKind.Utf8, types.PositionEncodingKind.Utf16, types.PositionEncodingKind.Utf32
ENCODINGS = [UTF8, UTF16, UTF32]
WIDTH = {UTF8: lambda c: len(c.encode()), UTF16: lambda c: len(c.encode("utf-16-le")) // 2, UTF32: lambda _: 1}
WILD = st.text(alphabet="ab é漢📦\n\r\t\f\v\x1c\x85\u2028", max_size=30)


def lines_of(text: str) -> list[str]:
    """Reference: LSP's lines with their ends, one character at a time."""
    lines, line = [], ""
    for index, character in enumerate(text):
        line += character
        if character == "\n" or (character == "\r" and text[index + 1 : index + 2] != "\n"):
            lines.append(line)
            line = ""
    return [*lines, line]


def position_of(text: str, offset: int, encoding: types.PositionEncodingKind) -> types.Position:
    """Reference: the position of an offset that is not between CR and LF."""
    passed = 0
    for number, line in enumerate(lines_of(text)):
        if offset < passed + len(line) or number == len(lines_of(text)) - 1:
            return types.Position(number, sum(WIDTH[encoding](c) for c in line[: offset - passed]))
        passed += len(line)
    raise AssertionError


def splits_line_end(text: str, offset: int) -> bool:
    return text[offset - 1 : offset + 1] == "\r\n"


@given(WILD, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12), WILD), max_size=12), st.sampled_from(ENCODINGS))
def test_random_edits_never_diverge(
    text: str, edits: list[tuple[int, int, str]], encoding: types.PositionEncodingKind
) -> None:
    documents = Documents(encoding)
    documents.open(types.TextDocumentItem("file:///x.py", "python", 1, text))
    for version, (start, length, inserted) in enumerate(edits, 2):
        start = min(start, len(text))
        end = min(start + length, len(text))
        if splits_line_end(text, start) or splits_line_end(text, end):
            continue
        edited = types.Range(position_of(text, start, encoding), position_of(text, end, encoding))
        change = types.TextDocumentContentChangePartial(edited, inserted)
        assert documents.edit("file:///x.py", [change], version)
        text = text[:start] + inserted + text[end:]
        document = documents.get("file:///x.py")
        assert document is not None
        assert (document.text, document.version) == (text, version)


@given(WILD, st.integers(0, 30), st.sampled_from(ENCODINGS))
def test_offset_and_position_are_inverse(text: str, offset: int, encoding: types.PositionEncodingKind) -> None:
    offset = min(offset, len(text))
    if splits_line_end(text, offset):
        return
    document = Document("x", text)
    assert document.position_at(offset, encoding) == position_of(text, offset, encoding)
    assert document.offset_at(position_of(text, offset, encoding), encoding) == offset


@pytest.mark.parametrize(
    ("text", "line", "column", "offset"),
    [
        ("abc\ndef", 0, 99, 3),
        ("abc\r\ndef", 0, 99, 3),
        ("abc\r\ndef", 0, 4, 3),
        ("abc", 0, 99, 3),
        ("abc", 7, 0, 3),
        ("", 0, 0, 0),
        ("a📦b", 0, 2, 1),
        ("a📦b", 0, 3, 2),
    ],
)
def test_positions_outside_the_text_are_moved_to_its_edge(text: str, line: int, column: int, offset: int) -> None:
    assert Document("x", text).offset_at(types.Position(line, column), UTF16) == offset


def test_a_position_is_not_changed_by_looking_it_up() -> None:
    position = types.Position(0, 99)
    Document("x", "ab").offset_at(position, UTF16)
    assert position == types.Position(0, 99)


def test_whole_changes_and_documents_that_are_not_open() -> None:
    documents = Documents()
    whole = types.TextDocumentContentChangeWholeDocument("new")
    assert not documents.edit("untitled:Untitled-1", [whole])
    documents.open(types.TextDocumentItem("untitled:Untitled-1", "python", 1, "old"))
    assert documents.edit("untitled:Untitled-1", [whole])
    snapshot = documents.snapshot("untitled:Untitled-1", types.Position(0, 1))
    assert snapshot is not None
    assert (snapshot.prefix, snapshot.suffix, snapshot.path) == ("n", "ew", "untitled.py")
    documents.close("untitled:Untitled-1")
    assert documents.snapshot("untitled:Untitled-1", types.Position(0, 0)) is None


_LINES = st.text(st.sampled_from("a\r\n"), max_size=12)


@given(_LINES, st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), _LINES), min_size=1, max_size=6))
def test_lines_are_correct_after_edits_between_line_ends(text: str, edits: list[tuple[int, int, str]]) -> None:
    document = Document("a", text)
    for one, other, new in edits:
        start, end = sorted((min(one, len(document.text)), min(other, len(document.text))))
        if any(document.text[at - 1 : at + 1] == "\r\n" for at in (start, end)):
            continue  # no position exists there
        ends = [document.position_at(at, types.PositionEncodingKind.Utf16) for at in (start, end)]
        change = types.TextDocumentContentChangePartial(types.Range(*ends), new)
        document = document.apply(change, 1, types.PositionEncodingKind.Utf16)
        assert document.line_starts == Document("a", document.text).line_starts


def test_file_names_are_decoded() -> None:
    assert file_name("file:///a%20b/x.py") == "/a b/x.py"
    assert file_name("untitled:Untitled-1") is None


@pytest.mark.parametrize(
    ("path", "language", "name"),
    [
        ("/a/x.py", "r", "/a/x.py"),
        ("/a/x.ipynb", "python", "/a/x.py"),
        ("/a/x.ipynb", "julia", "/a/x.jl"),
        ("/a/x.ipynb", "unheard-of", "/a/x.ipynb"),
        (None, "Rust", "untitled.rs"),
        (None, "unheard-of", None),
        (None, None, None),
    ],
)
def test_a_document_is_named_by_its_language(path: str | None, language: str | None, name: str | None) -> None:
    assert path_for(path, language) == name


def test_a_snapshot_lists_documents_of_its_language_with_the_last_edited_last() -> None:
    documents = Documents()
    for name, language in (("a", "python"), ("b", "python"), ("c", "toml"), ("d", "python")):
        documents.open(types.TextDocumentItem(f"file:///{name}", language, 0, name))
    whole = types.TextDocumentContentChangeWholeDocument("a, edited")
    documents.edit("file:///a", [whole])
    snapshot = documents.snapshot("file:///d", types.Position(0, 0))
    assert snapshot is not None
    assert snapshot.related_files == ("b", "a, edited")


LONG = "é = 1; " * 43_000


def quickest(run: Callable[[], object]) -> float:
    """Seconds of the fastest of a few runs: other load on the machine can only slow a run down."""
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return min(taken)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("line", [LONG, LONG.replace(" ", ""), "é" * len(LONG), "📦" + LONG])
def test_a_key_in_a_very_long_line_costs_less_than_a_few_scans_of_it(
    line: str, encoding: types.PositionEncodingKind
) -> None:
    documents = Documents(encoding)
    documents.open(types.TextDocumentItem("file:///x.py", "python", 1, line + "\nx = 1\n"))
    position = Document("x", line).position_at(299_000, encoding)

    def key() -> None:
        change = types.TextDocumentContentChangePartial(types.Range(position, position), "é")
        documents.edit("file:///x.py", [change])
        snapshot = documents.snapshot("file:///x.py", position)
        assert snapshot is not None
        word_before(snapshot)

    assert quickest(key) < 4 * quickest(lambda: [character for character in line if character > "\uffff"])


@given(WILD, st.integers(0, 60), st.sampled_from(ENCODINGS))
def test_columns_are_converted_as_character_by_character(
    line: str, units: int, encoding: types.PositionEncodingKind
) -> None:
    passed = number = 0
    for character in line:
        passed += WIDTH[encoding](character)
        if passed > units:
            break
        number += 1
    assert positions.characters(line, units, encoding) == number
    assert positions.units(line, encoding) == sum(map(WIDTH[encoding], line))
