"""Reads what clients send as liberally as its meaning is clear. Everything here takes any JSON and raises nothing.

Editors leave fields out, send null for them, or numbers beyond the protocol's range. A message that is refused for that
is an edit that the server never learns of. None stands for what cannot be read; whoever asks decides what that means.
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
"""The protocol's largest number. A larger one is behind the end of every line, as this one is."""


def at(value: Any, *names: str) -> Any:
    """What stands under `names` in nested objects, or None."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def items(value: Any) -> list[Any] | None:
    """A list; null and nothing are an empty one."""
    return [] if value is None else value if isinstance(value, list) else None


def number(value: Any) -> int | None:
    """A number from 0 on. Some JSON libraries write 3.0 for 3."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not 0 <= value < float("inf") or value != int(value):
        return None
    return min(int(value), _LARGEST)


def request(data: dict[str, Any]) -> dict[str, Any]:
    """A request for suggestions with what the protocol wants in it, if it is clear; any other message as it is."""
    method, params = data.get("method"), data.get("params")
    if method not in (types.TEXT_DOCUMENT_INLINE_COMPLETION, types.TEXT_DOCUMENT_COMPLETION):
        return data
    if not isinstance(params, Mapping):
        return data
    context = _inline_context if method == types.TEXT_DOCUMENT_INLINE_COMPLETION else _popup_context
    read = {**params, "context": context(params.get("context"))}
    if (cursor := position(params.get("position"))) is not None:
        read["position"] = {"line": cursor.line, "character": cursor.character}
    return {**data, "params": read}


def position(value: Any) -> types.Position | None:
    line, character = number(at(value, "line")), number(at(value, "character"))
    return None if line is None or character is None else types.Position(line, character)


def span(value: Any) -> types.Range | None:
    """A range that does not end before it begins."""
    start, end = position(at(value, "start")), position(at(value, "end"))
    return None if start is None or end is None or end < start else types.Range(start, end)


def change(value: Any) -> Change:
    """A change of a document. Its `rangeLength` is deprecated, follows from the range, and is not looked at."""
    new = text(at(value, "text"))
    if new is None:
        return None
    if value.get("range") is None:
        return types.TextDocumentContentChangeWholeDocument(new)
    replaced = span(value["range"])
    return None if replaced is None else types.TextDocumentContentChangePartial(replaced, new)


def changes(value: Any) -> list[Change]:
    """The changes of a list, in order."""
    return [change(one) for one in value] if isinstance(value, list) else [None]


def version(value: Any) -> int | None:
    """A document's version; it may be anything, and nothing follows from it."""
    return number(value)


def language(value: Any) -> str:
    """The language of a document that was opened: as it says, or as its name does."""
    return text(at(value, "languageId")) or language_of(uri_path(text(at(value, "uri")) or ""))


def opened(value: Any) -> types.TextDocumentItem | None:
    """A document with its text."""
    uri, content = text(at(value, "uri")), text(at(value, "text"))
    if uri is None or content is None:
        return None
    return types.TextDocumentItem(uri, language(value), version(at(value, "version")) or 0, content)


def cell(value: Any) -> types.NotebookCell | None:
    document = text(at(value, "document"))
    return None if document is None else types.NotebookCell(types.NotebookCellKind.Code, document)


def notebook(params: Any) -> types.DidOpenNotebookDocumentParams | None:
    """A notebook that was opened, with the texts of its cells."""
    uri = text(at(params, "notebookDocument", "uri"))
    cells = _all(cell, at(params, "notebookDocument", "cells"))
    texts = _all(opened, at(params, "cellTextDocuments"))
    if uri is None or cells is None or texts is None:
        return None
    return types.DidOpenNotebookDocumentParams(types.NotebookDocument(uri, "", 0, cells), texts)


def notebook_change(params: Any) -> types.DidChangeNotebookDocumentParams | None:
    """What changed in a notebook, if all of it can be read."""
    uri = text(at(params, "notebookDocument", "uri"))
    what = at(params, "change")
    contents = _all(_content, at(what, "cells", "textContent"))
    structure = _structure(at(what, "cells", "structure"))
    misfit = not isinstance(what, Mapping) or not isinstance(what.get("cells"), (Mapping, NoneType))
    if uri is None or misfit or contents is None or structure is None:
        return None
    cells = types.NotebookDocumentCellChanges(structure[0] if structure else None, text_content=contents)
    return types.DidChangeNotebookDocumentParams(
        types.VersionedNotebookDocumentIdentifier(0, uri), types.NotebookDocumentChangeEvent(cells=cells)
    )


def identifier(value: Any) -> types.TextDocumentIdentifier | None:
    uri = text(at(value, "uri"))
    return None if uri is None else types.TextDocumentIdentifier(uri)


def _structure(value: Any) -> list[types.NotebookDocumentCellChangeStructure] | None:
    """The change of a notebook's order in a list, which is empty when there is none."""
    if value is None:
        return []
    start, count = number(at(value, "array", "start")), number(at(value, "array", "deleteCount"))
    put = _all(cell, at(value, "array", "cells"))
    came, went = _all(opened, at(value, "didOpen")), _all(identifier, at(value, "didClose"))
    if start is None or count is None or put is None or came is None or went is None:
        return None
    array = types.NotebookCellArrayChange(start, count, put)
    return [types.NotebookDocumentCellChangeStructure(array, came, went)]


def _content(value: Any) -> types.NotebookDocumentCellContentChanges | None:
    uri = text(at(value, "document", "uri"))
    edits: list[types.TextDocumentContentChangeEvent] | None = _all(change, at(value, "changes"))
    if uri is None or edits is None:
        return None
    known = version(at(value, "document", "version")) or 0
    return types.NotebookDocumentCellContentChanges(types.VersionedTextDocumentIdentifier(known, uri), edits)


def _all(read: Callable[[Any], T | None], value: Any) -> list[T] | None:
    """Every item of a list as `read` reads it, or None when one cannot be read."""
    found = items(value)
    if found is None:
        return None
    made = [read(item) for item in found]
    return None if None in made else [item for item in made if item is not None]


def _inline_context(value: Any) -> dict[str, Any]:
    """Automatic unless it says that somebody asked: as the protocol counts, or with VS Code's own 0."""
    kinds = types.InlineCompletionTriggerKind
    kind = kinds.Invoked if number(at(value, "triggerKind")) in (0, 1) else kinds.Automatic
    selected = at(value, "selectedCompletionInfo")
    if span(at(selected, "range")) is None or text(at(selected, "text")) is None:
        return {"triggerKind": kind}
    return {"triggerKind": kind, "selectedCompletionInfo": {"range": selected["range"], "text": selected["text"]}}


def _popup_context(value: Any) -> dict[str, Any] | None:
    kind = number(at(value, "triggerKind"))
    return {"triggerKind": kind} if kind in set(types.CompletionTriggerKind) else None
