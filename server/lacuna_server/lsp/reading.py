"""Lenient parsing of what clients send. Everything here accepts any JSON value and never raises.

Editors omit fields, send null for them, or numbers outside the protocol's range. Rejecting such a message would lose an
edit. Functions return None for what cannot be read; the caller decides what that means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, TypeVar

from lsprotocol import types

from lacuna_server.core.languages import language_of
from lacuna_server.lsp.document import Change
from lacuna_server.lsp.uris import uri_path

T = TypeVar("T")
_LARGEST = 2**31 - 1
"""The protocol's largest number. As a column it is past the end of every line, and so is any larger number."""


def at(value: Any, *names: str) -> Any:
    """The value at the path `names` in nested objects, or None."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def items(value: Any) -> list[Any] | None:
    """A list; null and a missing value are an empty list."""
    return [] if value is None else value if isinstance(value, list) else None


def number(value: Any) -> int | None:
    """A non-negative integer, at most the protocol's largest. Some JSON libraries write 3.0 for 3."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not 0 <= value < float("inf") or value != int(value):
        return None
    return min(int(value), _LARGEST)


def request(data: dict[str, Any]) -> dict[str, Any]:
    """A completion request with its fields normalized to the protocol; any other message unchanged."""
    method, params = data.get("method"), data.get("params")
    if method not in (types.TEXT_DOCUMENT_INLINE_COMPLETION, types.TEXT_DOCUMENT_COMPLETION):
        return data
    if not isinstance(params, Mapping):
        return data
    context = _inline_context if method == types.TEXT_DOCUMENT_INLINE_COMPLETION else _popup_context
    normalized = {**params, "context": context(params.get("context"))}
    if (cursor := position(params.get("position"))) is not None:
        normalized["position"] = {"line": cursor.line, "character": cursor.character}
    return {**data, "params": normalized}


def position(value: Any) -> types.Position | None:
    line, character = number(at(value, "line")), number(at(value, "character"))
    return None if line is None or character is None else types.Position(line, character)


def span(value: Any) -> types.Range | None:
    """A range that does not end before its start."""
    start, end = position(at(value, "start")), position(at(value, "end"))
    return None if start is None or end is None or end < start else types.Range(start, end)


def change(value: Any) -> Change:
    """A change of a document. The deprecated `rangeLength` is ignored, because the range determines it."""
    new = text(at(value, "text"))
    if new is None:
        return None
    if value.get("range") is None:
        return types.TextDocumentContentChangeWholeDocument(new)
    replaced = span(value["range"])
    return None if replaced is None else types.TextDocumentContentChangePartial(replaced, new)


def changes(value: Any) -> list[Change]:
    """The changes in a list, in order."""
    return [change(one) for one in value] if isinstance(value, list) else [None]


def version(value: Any) -> int | None:
    """A document's version. It is only stored: nothing depends on it."""
    return number(value)


def language(value: Any) -> str:
    """The language of an opened document: its language id, or the one derived from its name."""
    return text(at(value, "languageId")) or language_of(uri_path(text(at(value, "uri")) or ""))


def text_document(value: Any) -> types.TextDocumentItem | None:
    """An opened document with its text."""
    uri, content = text(at(value, "uri")), text(at(value, "text"))
    if uri is None or content is None:
        return None
    return types.TextDocumentItem(uri, language(value), version(at(value, "version")) or 0, content)


def cell(value: Any) -> types.NotebookCell | None:
    document = text(at(value, "document"))
    return None if document is None else types.NotebookCell(types.NotebookCellKind.Code, document)


def notebook(params: Any) -> types.DidOpenNotebookDocumentParams | None:
    """An opened notebook with the texts of its cells."""
    uri = text(at(params, "notebookDocument", "uri"))
    cells = _all(cell, at(params, "notebookDocument", "cells"))
    texts = _all(text_document, at(params, "cellTextDocuments"))
    if uri is None or cells is None or texts is None:
        return None
    return types.DidOpenNotebookDocumentParams(types.NotebookDocument(uri, "", 0, cells), texts)


def notebook_change(params: Any) -> types.DidChangeNotebookDocumentParams | None:
    """The change of a notebook, if all of it can be read."""
    uri = text(at(params, "notebookDocument", "uri"))
    event = at(params, "change")
    contents = _all(_content, at(event, "cells", "textContent"))
    structure = _structure(at(event, "cells", "structure"))
    is_valid = isinstance(event, Mapping) and isinstance(event.get("cells"), (Mapping, NoneType))
    if uri is None or not is_valid or contents is None or structure is None:
        return None
    cells = types.NotebookDocumentCellChanges(structure[0] if structure else None, text_content=contents)
    return types.DidChangeNotebookDocumentParams(
        types.VersionedNotebookDocumentIdentifier(0, uri), types.NotebookDocumentChangeEvent(cells=cells)
    )


def identifier(value: Any) -> types.TextDocumentIdentifier | None:
    uri = text(at(value, "uri"))
    return None if uri is None else types.TextDocumentIdentifier(uri)


def _structure(value: Any) -> list[types.NotebookDocumentCellChangeStructure] | None:
    """The structural change of a notebook in a list, which is empty when there is none."""
    if value is None:
        return []
    start, count = number(at(value, "array", "start")), number(at(value, "array", "deleteCount"))
    inserted = _all(cell, at(value, "array", "cells"))
    opened, closed = _all(text_document, at(value, "didOpen")), _all(identifier, at(value, "didClose"))
    if start is None or count is None or inserted is None or opened is None or closed is None:
        return None
    array = types.NotebookCellArrayChange(start, count, inserted)
    return [types.NotebookDocumentCellChangeStructure(array, opened, closed)]


def _content(value: Any) -> types.NotebookDocumentCellContentChanges | None:
    uri = text(at(value, "document", "uri"))
    edits: list[types.TextDocumentContentChangeEvent] | None = _all(change, at(value, "changes"))
    if uri is None or edits is None:
        return None
    number_or_0 = version(at(value, "document", "version")) or 0
    return types.NotebookDocumentCellContentChanges(types.VersionedTextDocumentIdentifier(number_or_0, uri), edits)


def _all(read: Callable[[Any], T | None], value: Any) -> list[T] | None:
    """Every item of a list, parsed by `read`, or None when one cannot be read."""
    raw = items(value)
    if raw is None:
        return None
    parsed = [read(item) for item in raw]
    return None if None in parsed else [item for item in parsed if item is not None]


def _inline_context(value: Any) -> dict[str, Any]:
    """Automatic unless the trigger kind says invoked, which is 1 in the protocol and 0 in VS Code's own API."""
    kinds = types.InlineCompletionTriggerKind
    kind = kinds.Invoked if number(at(value, "triggerKind")) in (0, 1) else kinds.Automatic
    selected = at(value, "selectedCompletionInfo")
    if span(at(selected, "range")) is None or text(at(selected, "text")) is None:
        return {"triggerKind": kind}
    return {"triggerKind": kind, "selectedCompletionInfo": {"range": selected["range"], "text": selected["text"]}}


def _popup_context(value: Any) -> dict[str, Any] | None:
    kind = number(at(value, "triggerKind"))
    return {"triggerKind": kind} if kind in set(types.CompletionTriggerKind) else None
