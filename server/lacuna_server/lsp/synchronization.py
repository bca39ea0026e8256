"""Applies the notifications that keep the documents in sync with the editor.

An unreadable notification puts its document out of sync, so that no suggestion is based on an old text. A document that
is opened, changed or closed without naming it is logged; a change of an unnamed one puts all documents out of sync.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any

from lsprotocol import types

from lacuna_server.lsp import reading
from lacuna_server.lsp.documents import Documents

logger = logging.getLogger(__name__)


def unparsable(documents: Documents, body: bytes) -> None:
    """Handles a message that is not JSON, and so may have been an edit of any document.

    If it is only invalid UTF-8, it still names the document.
    """
    try:
        message = json.loads(body.decode(errors="replace"))
    except (ValueError, RecursionError):
        documents.mark_all_out_of_step()
        return
    method, uri = reading.at(message, "method"), reading.text(reading.at(message, "params", "textDocument", "uri"))
    if uri is not None and method in (types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE):
        documents.mark_out_of_step(uri)
    else:
        documents.mark_all_out_of_step()


def did_open(documents: Documents, params: Any) -> None:
    item = reading.at(params, "textDocument")
    document, uri = reading.text_document(item), reading.text(reading.at(item, "uri"))
    if document is not None:
        documents.open(document)
    elif uri is not None:
        documents.mark_out_of_step(uri, reading.language(item))
    else:
        logger.warning("A document was opened without a URI.")


def did_change(documents: Documents, params: Any) -> None:
    uri = reading.text(reading.at(params, "textDocument", "uri"))
    if uri is None:
        logger.warning("A document was changed without a URI.")
        documents.mark_all_out_of_step()
        return
    changes = reading.changes(reading.at(params, "contentChanges"))
    if not documents.edit(uri, changes, reading.version(reading.at(params, "textDocument", "version"))):
        logger.warning("A change for a document that is not open was ignored.")


def did_save(documents: Documents, params: Any) -> None:
    """Uses the saved text to bring a document back in sync."""
    uri, text = reading.text(reading.at(params, "textDocument", "uri")), reading.text(reading.at(params, "text"))
    document = documents.get(uri or "")
    if document is not None and text is not None and not document.in_sync:
        documents.edit(document.uri, [types.TextDocumentContentChangeWholeDocument(text)])


def did_close(documents: Documents, params: Any) -> list[str]:
    """Closes a document. Returns the closed documents."""
    uri = reading.text(reading.at(params, "textDocument", "uri"))
    if uri is None:
        logger.warning("A document was closed without a URI.")
        return []
    documents.close(uri)
    return [uri]


def did_open_notebook(documents: Documents, params: Any) -> None:
    notebook, uri = reading.notebook(params), reading.text(reading.at(params, "notebookDocument", "uri"))
    if notebook is not None:
        documents.open_notebook(notebook)
        return
    for item in reading.items(reading.at(params, "cellTextDocuments")) or ():
        did_open(documents, {"textDocument": item})
    if uri is not None:
        documents.mark_notebook_out_of_step(uri, _cells(reading.at(params, "notebookDocument", "cells")))


def did_change_notebook(documents: Documents, params: Any) -> list[str]:
    """Changes a notebook. Returns the closed cells."""
    uri, change = reading.text(reading.at(params, "notebookDocument", "uri")), reading.notebook_change(params)
    if change is None:
        logger.warning("A change of a notebook could not be read.")
        documents.mark_all_out_of_step() if uri is None else documents.mark_notebook_out_of_step(uri)
        return []
    if not documents.change_notebook(change):
        logger.warning("A change for a notebook or a cell that is not open was ignored.")
    structure = change.change.cells.structure if change.change.cells else None
    return [closed.uri for closed in (structure.did_close if structure else None) or ()]


def did_close_notebook(documents: Documents, params: Any) -> list[str]:
    """Closes a notebook. Returns the closed cells."""
    cells = [item.uri for item in map(reading.identifier, _list(reading.at(params, "cellTextDocuments"))) if item]
    return documents.close_notebook(reading.text(reading.at(params, "notebookDocument", "uri")) or "", cells)


def _cells(value: Any) -> list[str]:
    return [cell.document for cell in map(reading.cell, _list(value)) if cell is not None]


def _list(value: Any) -> Iterable[Any]:
    return reading.items(value) or ()
