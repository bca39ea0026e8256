"""The notifications that keep the documents in step with the editor, from what clients really send.

What cannot be read puts its document out of step, so that no suggestion is made from an old text. That a document was
opened, changed or closed without saying which one is logged; a change of an unknown one puts all of them out of step.
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


def missed(documents: Documents, body: bytes) -> None:
    """A message came that is no JSON, so it may have been an edit of any document.

    Where only some characters of it are not UTF-8, it says which one.
    """
    try:
        message = json.loads(body.decode(errors="replace"))
    except (ValueError, RecursionError):
        documents.lose_all()
        return
    method, uri = reading.at(message, "method"), reading.text(reading.at(message, "params", "textDocument", "uri"))
    if uri is not None and method in (types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE):
        documents.lose(uri)
    else:
        documents.lose_all()


def did_open(documents: Documents, params: Any) -> None:
    item = reading.at(params, "textDocument")
    document, uri = reading.opened(item), reading.text(reading.at(item, "uri"))
    if document is not None:
        documents.open(document)
    elif uri is not None:
        documents.lose(uri, reading.language(item))
    else:
        logger.warning("A document was opened without a URI.")


def did_change(documents: Documents, params: Any) -> None:
    uri = reading.text(reading.at(params, "textDocument", "uri"))
    if uri is None:
        logger.warning("A document changed, and the editor did not say which.")
        documents.lose_all()
        return
    changes = reading.changes(reading.at(params, "contentChanges"))
    if not documents.edit(uri, changes, reading.version(reading.at(params, "textDocument", "version"))):
        logger.warning("A change came for a document that is not open.")


def did_save(documents: Documents, params: Any) -> None:
    """Takes the saved text over where the document is out of step."""
    uri, text = reading.text(reading.at(params, "textDocument", "uri")), reading.text(reading.at(params, "text"))
    document = documents.get(uri or "")
    if document is not None and text is not None and not document.in_step:
        documents.edit(document.uri, [types.TextDocumentContentChangeWholeDocument(text)])


def did_close(documents: Documents, params: Any) -> list[str]:
    """The documents that were closed."""
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
        documents.lose_notebook(uri, _cells(reading.at(params, "notebookDocument", "cells")))


def did_change_notebook(documents: Documents, params: Any) -> list[str]:
    """The cells that were closed."""
    uri, change = reading.text(reading.at(params, "notebookDocument", "uri")), reading.notebook_change(params)
    if change is None:
        logger.warning("A change of a notebook could not be read.")
        documents.lose_all() if uri is None else documents.lose_notebook(uri)
        return []
    if not documents.change_notebook(change):
        logger.warning("A change came for a notebook or a cell that is not open.")
    structure = change.change.cells.structure if change.change.cells else None
    return [closed.uri for closed in (structure.did_close if structure else None) or ()]


def did_close_notebook(documents: Documents, params: Any) -> list[str]:
    """The cells that were closed."""
    cells = [item.uri for item in map(reading.identifier, _list(reading.at(params, "cellTextDocuments"))) if item]
    return documents.close_notebook(reading.text(reading.at(params, "notebookDocument", "uri")) or "", cells)


def _cells(value: Any) -> list[str]:
    return [cell.document for cell in map(reading.cell, _list(value)) if cell is not None]


def _list(value: Any) -> Iterable[Any]:
    return reading.items(value) or ()
