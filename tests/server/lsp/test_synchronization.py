"""No suggestion from a stale text, whatever an editor sends: mutated messages against a plain model of an editor."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest
from connection import Connection
from lsprotocol import types
from wild import mutated

from lacuna_inference.api import Request
from lacuna_inference.engine.fake import FakeEngine

MESSAGES = int(os.environ.get("MUTATED_MESSAGES", "10000"))
"""More of them are tried with MUTATED_MESSAGES=1000000."""
URIS = ["file:///w/a.py", "file:///w/b%20c.py", "scratch://[Scratch]/d.py"]
LETTERS = "ab 1é漢📦\n\r\ud83d\ude00\u2028\x0c"
ENCODINGS = ["utf-16", "utf-8", "utf-32"]


CODECS = {"utf-16": ("utf-16-le", 2), "utf-8": ("utf-8", 1), "utf-32": ("utf-32-le", 4)}


class Units:
    """A text as a list of the units in which an encoding counts; units that do not form a text give None."""

    def __init__(self, encoding: str) -> None:
        self.codec, self.width = CODECS[encoding]

    def of(self, text: str) -> list[bytes]:
        data = text.encode(self.codec, "surrogatepass")
        return [data[at : at + self.width] for at in range(0, len(data), self.width)]

    def text(self, units: list[bytes]) -> str | None:
        data = b"".join(units)
        try:
            return joined(data.decode(self.codec, "surrogatepass"))
        except UnicodeDecodeError:
            return None

    def offset(self, units: list[bytes], line: int, character: int) -> int:
        """By the protocol: a column after the line's end is its end, a line after the last one the text's end."""
        cr, lf = self.of("\r")[0], self.of("\n")[0]
        start = 0
        for _ in range(line):
            ends = [at for at in range(start, len(units)) if units[at] in (cr, lf)]
            if not ends:
                return len(units)
            start = ends[0] + (2 if units[ends[0] : ends[0] + 2] == [cr, lf] else 1)
        end = next((at for at in range(start, len(units)) if units[at] in (cr, lf)), len(units))
        return min(start + character, end)


def joined(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


class Editor:
    """An editor's texts after messages; None where the messages do not determine it."""

    def __init__(self, encoding: str) -> None:
        self.texts: dict[str, str | None] = {}
        self.units = Units(encoding)

    def opened(self, params: Any) -> None:
        item = params.get("textDocument") if isinstance(params, dict) else None
        if isinstance(item, dict) and isinstance(item.get("uri"), str):
            text = item.get("text")
            self.texts[item["uri"]] = joined(text) if isinstance(text, str) else None

    def changed(self, params: Any) -> None:
        document = params.get("textDocument") if isinstance(params, dict) else None
        uri = document.get("uri") if isinstance(document, dict) else None
        if not isinstance(uri, str):
            self.texts = dict.fromkeys(self.texts)
        elif uri in self.texts:
            changes = params.get("contentChanges")
            for change in changes if isinstance(changes, list) else [None]:
                self.texts[uri] = self._after(self.texts[uri], change)

    def _after(self, text: str | None, change: Any) -> str | None:
        if not isinstance(change, dict) or not isinstance(change.get("text"), str):
            return None
        if change.get("range") is None:
            return joined(change["text"])
        try:
            positions = [(change["range"][end]["line"], change["range"][end]["character"]) for end in ("start", "end")]
        except (KeyError, TypeError, IndexError):
            return None
        if text is None or not all(whole(n) for position in positions for n in position) or positions[1] < positions[0]:
            return None
        units = self.units.of(text)
        limit = len(units) + 1
        start, end = (self.units.offset(units, min(int(l), limit), min(int(c), limit)) for l, c in positions)  # noqa: E741
        if self.units.text(units[:start]) is None or self.units.text(units[end:]) is None:
            return None
        return self.units.text(units[:start] + self.units.of(change["text"]) + units[end:])


def whole(number: Any) -> bool:
    return (type(number) is int and number >= 0) or (type(number) is float and number >= 0 and number.is_integer())


def some_text(rng: random.Random, limit: int = 12) -> str:
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(0, limit)))


def some_change(rng: random.Random) -> dict[str, Any]:
    if rng.random() < 0.15:
        return {"text": some_text(rng, 30)}
    ends = sorted((rng.randint(0, 4), rng.randint(0, 9)) for _ in range(2))
    start, end = ({"line": line, "character": character} for line, character in ends)
    return {"range": {"start": start, "end": end}, "text": some_text(rng), "rangeLength": rng.randint(0, 5)}


def some_message(rng: random.Random, version: int) -> tuple[str, dict[str, Any]]:
    uri = rng.choice(URIS)
    if rng.random() < 0.15:
        item = {"uri": uri, "languageId": "python", "version": version, "text": some_text(rng, 40)}
        return "textDocument/didOpen", {"textDocument": item}
    changes = [some_change(rng) for _ in range(rng.randint(1, 3))]
    return "textDocument/didChange", {"textDocument": {"uri": uri, "version": version}, "contentChanges": changes}


async def test_mutated_edits_are_applied_or_the_document_is_out_of_sync() -> None:
    texts: list[str] = []
    for number, encoding in enumerate(ENCODINGS):
        connection = Connection(FakeEngine(lambda request: seen(request, texts)), encoding)
        await followed(connection, Editor(encoding), random.Random(number), -(-MESSAGES // len(ENCODINGS)), texts)


def seen(request: Request, texts: list[str]) -> str:
    texts.append("".join(part for part in request.parts))
    return "x = 1"


async def followed(connection: Connection, editor: Editor, rng: random.Random, messages: int, texts: list[str]) -> None:
    lost = 0
    for version in range(messages):
        save_what_was_lost(connection, editor, rng)
        method, params = some_message(rng, version)
        if rng.random() < 0.6:
            params = mutated(params, rng)
        connection.notify(method, params)
        editor.opened(params) if method.endswith("didOpen") else editor.changed(params)
        for uri in URIS:
            document, text = connection.server.session.documents.get(uri), editor.texts.get(uri)
            assert (document is None) == (uri not in editor.texts), (method, params)
            if document is not None:
                assert (document.text if document.in_sync else None) == text, (method, params)
                lost += text is None
        if version % 10 == 0:
            await never_from_a_stale_text(connection, editor, rng.choice(URIS), texts)
    assert 0.1 * messages < lost < 1.5 * messages  # of three documents in each round: both cases were tried


def save_what_was_lost(connection: Connection, editor: Editor, rng: random.Random) -> None:
    for uri, text in editor.texts.items():
        if text is None and rng.random() < 0.5:
            whole_text = some_text(rng, 40)
            connection.notify("textDocument/didSave", {"textDocument": {"uri": uri}, "text": whole_text})
            editor.texts[uri] = joined(whole_text)


async def never_from_a_stale_text(connection: Connection, editor: Editor, uri: str, texts: list[str]) -> None:
    texts.clear()
    shown = await connection.ask(uri)
    text = editor.texts.get(uri)
    if text is None:
        assert (shown, texts) == ([], [])
        assert uri not in editor.texts or await connection.reason() == "out-of-step"
    else:
        lines = text.replace("\r\n", "\n").replace("\r", "\n")
        assert texts == ["".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in lines)]


def opened(connection: Connection, text: str, uri: str = URIS[0], **item: Any) -> None:
    fields = {"uri": uri, "languageId": "python", "version": 1, "text": text, **item}
    connection.notify("textDocument/didOpen", {"textDocument": {k: v for k, v in fields.items() if v != "left out"}})


def text_of(connection: Connection, uri: str = URIS[0]) -> str | None:
    document = connection.server.session.documents.get(uri)
    return document.text if document is not None and document.in_sync else None


def span(*ends: Any) -> dict[str, Any]:
    return {
        "start": {"line": ends[0], "character": ends[1]},
        "end": {"line": ends[2], "character": ends[3]},
    }


GOOD = "def add(a, b):\n    return "


@pytest.mark.parametrize(
    ("identifier", "change"),
    [
        ({"version": 2}, {"range": None, "text": GOOD}),
        ({"version": None}, {"text": GOOD}),
        ({}, {"text": GOOD}),
        ({"version": "two"}, {"text": GOOD}),
        ({"version": 2}, {"range": span(0, 0, 9, 0), "rangeLength": -1, "text": GOOD}),
        ({"version": 2}, {"range": span(0, 0, 9, 0), "rangeLength": None, "text": GOOD}),
        ({"version": 2}, {"range": span(0, 0, 0, 2**31), "text": GOOD}),
        ({"version": 2}, {"range": span(0, 0, 2**40, 2**40), "text": GOOD}),
        ({"version": 2}, {"range": span(0.0, 0.0, 1.0, 0), "text": GOOD}),
        ({"version": 2, "more": 1}, {"range": span(0, 0, 1, 0), "text": GOOD, "more": []}),
    ],
)
async def test_unambiguous_edits_are_applied(identifier: dict[str, Any], change: dict[str, Any]) -> None:
    connection = Connection(FakeEngine("y = "))
    opened(connection, "zzz = 1")
    document = {"uri": URIS[0], **identifier}
    connection.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})
    assert text_of(connection) == GOOD


UNCLEAR: list[Any] = [
    {"range": span(0, 0, 0, -1), "text": "x"},
    {"range": span(0, 0, 0, 0.5), "text": "x"},
    {"range": span(0, 0, 0, "1"), "text": "x"},
    {"range": span(0, 0, 0, True), "text": "x"},
    {"range": span(1, 0, 0, 0), "text": "x"},
    {"range": {"start": {"line": 0, "character": 0}}, "text": "x"},
    {"range": {}, "text": "x"},
    {"range": span(0, 0, 0, 1)},
    {"range": span(0, 0, 0, 1), "text": None},
    {"text": ["x"]},
    {},
    None,
]


@pytest.mark.parametrize("unclear", UNCLEAR)
async def test_an_ambiguous_edit_silences_the_document_until_its_whole_text_arrives(unclear: Any) -> None:
    connection = Connection(FakeEngine("y = "), experimental={"lacuna": {"status": True}})
    good = {"range": span(0, 0, 0, 0), "text": "y"}
    for heal in (saved, replaced, opened):
        opened(connection, "zzz = 1\n")
        assert await connection.ask(URIS[0]) == ["y = "]
        for changes in ([good, unclear, good], [good]):
            document = {"uri": URIS[0], "version": 2}
            connection.notify("textDocument/didChange", {"textDocument": document, "contentChanges": changes})
        (message,) = connection.logged()
        assert "a.py" in message
        assert connection.sent[-1]["params"]["out_of_step"] == [URIS[0]]
        assert await connection.ask(URIS[0]) == []
        assert await connection.reason() == "out-of-step"
        heal(connection, GOOD)
        assert text_of(connection) == GOOD
        assert connection.sent[-1]["params"]["out_of_step"] == []


def saved(connection: Connection, text: str) -> None:
    connection.notify("textDocument/didSave", {"textDocument": {"uri": URIS[0]}, "text": text})


def replaced(connection: Connection, text: str) -> None:
    changes = [{"range": span(0, 0, 0, -1), "text": ""}, {"text": text}]  # whatever preceded it
    document = {"uri": URIS[0], "version": 3}
    connection.notify("textDocument/didChange", {"textDocument": document, "contentChanges": changes})


@pytest.mark.parametrize(
    "item",
    [{"languageId": "left out"}, {"languageId": None}, {"version": "left out"}, {"version": "x"}, {"version": 2**40}],
)
async def test_a_document_is_opened_with_the_given_fields(item: dict[str, Any]) -> None:
    connection = Connection(FakeEngine("y = "))
    opened(connection, GOOD, **item)
    document = connection.server.session.documents.get(URIS[0])
    assert document is not None
    assert (document.text, document.language) == (GOOD, "python")


async def test_a_document_without_a_text_is_opened_out_of_sync() -> None:
    connection = Connection(FakeEngine("y = "))
    opened(connection, "left out")
    assert await connection.ask(URIS[0]) == []
    assert await connection.reason() == "out-of-step"


async def test_a_change_to_an_unknown_document_silences_all_documents() -> None:
    connection = Connection(FakeEngine("y = "))
    for uri in URIS:
        opened(connection, GOOD, uri)
    connection.notify("textDocument/didChange", {"textDocument": {"uri": None}, "contentChanges": [{"text": "x"}]})
    assert [text_of(connection, uri) for uri in URIS] == [None, None, None]
    assert len(connection.logged()) == len(URIS)


@pytest.mark.parametrize(("broken", "left"), [("zz\xff", [None, GOOD]), ('"', [None, None])])
async def test_an_edit_that_is_not_json_is_not_lost_silently(broken: str, left: list[str | None]) -> None:
    connection = Connection(FakeEngine("y = "))
    for uri in URIS[:2]:
        opened(connection, GOOD, uri)
    change = {"textDocument": {"uri": URIS[0], "version": 2}, "contentChanges": [{"text": "TEXT"}]}
    message = json.dumps({"jsonrpc": "2.0", "method": "textDocument/didChange", "params": change})
    connection.send(message.replace("TEXT", broken).encode("latin-1"))
    assert [text_of(connection, uri) for uri in URIS[:2]] == left


async def test_other_documents_and_cells_do_not_see_a_stale_text() -> None:
    requests: list[Request] = []
    connection = Connection(FakeEngine(lambda request: requests.append(request) or "x = 1"))  # type: ignore[func-returns-value]
    opened(connection, "old = 1\n", URIS[1])
    opened(connection, GOOD)
    change = {"textDocument": {"uri": URIS[1], "version": 2}, "contentChanges": [{}]}
    connection.notify("textDocument/didChange", change)
    assert await connection.ask(URIS[0])
    assert requests[0].related_files == ()


def book(connection: Connection, method: str, **params: Any) -> None:
    connection.notify(f"notebookDocument/{method}", {"notebookDocument": {"uri": "file:///n.ipynb"}, **params})


def open_book(connection: Connection, *texts: str) -> None:
    cells = [{"kind": 2, "document": f"cell:{number}"} for number, _ in enumerate(texts)]
    items = [{"uri": f"cell:{number}", "languageId": "python", "text": text} for number, text in enumerate(texts)]
    params = {"notebookDocument": {"uri": "file:///n.ipynb", "cells": cells}, "cellTextDocuments": items}
    connection.notify("notebookDocument/didOpen", params)


@pytest.mark.parametrize(
    "change",
    [
        {"structure": {"array": {"start": -1, "deleteCount": 1}}},
        {"structure": {"array": {"start": 1, "deleteCount": 5}}},
        {"structure": {"array": {"start": 0, "deleteCount": 1, "cells": [{"kind": 2}]}}},
        {"textContent": [{"document": {"uri": "cell:1", "version": 2}, "changes": [{}]}]},
        {"textContent": [{"document": {"version": 2}, "changes": [{"text": "x"}]}]},
        {"textContent": 7},
        [],
        7,
    ],
)
async def test_a_notebook_out_of_sync_is_silent_until_it_is_reopened(change: Any) -> None:
    connection = Connection(FakeEngine("async "))
    open_book(connection, "x = 1\n", GOOD)
    assert await connection.ask("cell:1")
    book(connection, "didChange", change={"cells": change})
    assert connection.server.session.documents.out_of_sync() == ["cell:0", "cell:1"]
    assert await connection.ask("cell:1") == []
    assert await connection.reason() == "out-of-step"
    open_book(connection, "x = 1\n", GOOD)
    assert await connection.ask("cell:1")
    book(connection, "didClose", cellTextDocuments=[{"uri": "cell:0"}])
    assert connection.server.session.documents.get("cell:1") is None


async def test_surrogate_halves_inserted_one_after_the_other_are_joined() -> None:
    connection = Connection(FakeEngine("y = "))
    opened(connection, "x = ''\n")
    for character, half in ((5, "\ud83d"), (6, "\ude00")):
        document, at = {"uri": URIS[0], "version": 2}, span(0, character, 0, character)
        changes = [{"range": at, "text": half}]
        connection.notify("textDocument/didChange", {"textDocument": document, "contentChanges": changes})
        assert await connection.ask(URIS[0]) == ["y = "]
    assert text_of(connection) == "x = '😀'\n"
    changes = [{"range": span(0, 5, 0, 6), "text": ""}, {"range": span(0, 5, 0, 5), "text": "\ud83d"}]
    connection.notify("textDocument/didChange", {"textDocument": document, "contentChanges": changes})
    assert text_of(connection) == "x = '😀'\n"


async def test_a_column_inside_an_indivisible_character_is_ambiguous() -> None:
    connection = Connection(FakeEngine("y = "), "utf-8")
    opened(connection, "é = 1\n")
    change = {"range": span(0, 1, 0, 2), "text": ""}
    connection.notify("textDocument/didChange", {"textDocument": {"uri": URIS[0]}, "contentChanges": [change]})
    assert text_of(connection) is None


async def test_the_server_requests_saved_texts() -> None:
    connection = Connection(FakeEngine("y = "))
    (answer,) = (message for message in connection.sent if message.get("id") == 0)
    assert answer["result"]["capabilities"]["textDocumentSync"]["save"] == {"includeText": True}
    assert answer["result"]["capabilities"]["positionEncoding"] == types.PositionEncodingKind.Utf16
