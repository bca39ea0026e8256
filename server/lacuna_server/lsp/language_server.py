"""pygls, with its gaps closed: every request gets one answer, errors are logged and never sent as popups.

The text of documents is kept by `documents.py`; pygls's own workspace stays empty.
"""

from __future__ import annotations

import contextvars
import json
import logging
from collections.abc import Generator, Iterable
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcMethodNotFound
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, lsp_method

from lacuna_inference import __version__
from lacuna_server.lsp import capabilities
from lacuna_server.lsp.session import Session

logger = logging.getLogger(__name__)
_SETTLED = object()
"""Stands for a message that was answered or left out while it was read."""


class LacunaProtocol(LanguageServerProtocol):
    """The life cycle as the specification wants it, and document synchronisation into our own store."""

    _server: LacunaServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, server: LacunaServer, converter: Any) -> None:
        super().__init__(server, converter)
        self._initialized = False

    def structure_message(self, data: dict[str, Any]) -> Any:
        """As pygls does, but a request that does not parse is answered and a notification is logged."""
        if not {"method", "result", "error"} & data.keys():
            return data
        try:
            return super().structure_message(data)
        except JsonRpcException:
            if "id" in data and "method" in data:
                self._refuse(data["id"], types.ErrorCodes.InvalidParams, "The parameters do not fit the method.")
            else:
                logger.error("A %s message does not parse and was left out.", str(data.get("method"))[:80])
            return _SETTLED

    def handle_message(self, message: Any) -> None:
        """Refuses what may not come at this point of the life cycle, and passes on the rest."""
        if message is _SETTLED:
            return
        if getattr(message, "jsonrpc", None) != self.VERSION:
            identity = message.get("id") if isinstance(message, dict) else getattr(message, "id", None)
            self._refuse(identity, types.ErrorCodes.InvalidRequest, "The message is not a JSON-RPC 2.0 object.")
        elif (refused := self._refusal(getattr(message, "method", None))) is None:
            self._dispatch(message)
        elif (identity := getattr(message, "id", None)) is not None:
            self._refuse(identity, *refused)

    def _dispatch(self, message: Any) -> None:
        """As pygls does, which takes a quarter of a millisecond to find out what kind of message it is."""
        context = contextvars.copy_context()
        if (method := getattr(message, "method", None)) is None:
            result, error = getattr(message, "result", None), getattr(message, "error", None)
            context.run(self._handle_response, message.id, result, error)
        elif hasattr(message, "id"):
            context.run(self._handle_request, message.id, method, message.params)
        else:
            context.run(self._handle_notification, method, message.params)

    def answer_unreadable(self) -> None:
        """Answers a message that was no JSON; its id is not known."""
        self._refuse(None, types.ErrorCodes.ParseError, "The message is not JSON.")

    def _refusal(self, method: str | None) -> tuple[int, str] | None:
        """The error for a method at this point, or None when it may pass. A message without method is a response."""
        if method in (None, types.EXIT):
            return None
        if self._shutdown:
            return types.ErrorCodes.InvalidRequest, "The server was shut down."
        if method == types.INITIALIZE:
            return (
                (types.ErrorCodes.InvalidRequest, "The server is initialized already.") if self._initialized else None
            )
        if not self._initialized:
            return types.ErrorCodes.ServerNotInitialized, "The first request must be initialize."
        return None

    def _refuse(self, identity: Any, code: int, message: str) -> None:
        known = identity if isinstance(identity, (str, int)) else None
        self._send_data(types.ResponseErrorMessage(id=known, error=types.ResponseError(int(code), message)))

    def _send_response(self, msg_id: Any, result: Any = None, error: types.ResponseError | None = None) -> None:
        """As pygls does, without the traceback that it puts into an error's data."""
        super()._send_response(msg_id, result, types.ResponseError(error.code, error.message) if error else None)

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        session = self._server.session
        session.initialize(params)
        result = yield from super().lsp_initialize(params)
        provided = result.capabilities
        provided.position_encoding = session.documents.encoding = capabilities.position_encoding(params)
        if not session.client.shows_popup(session.settings.completion_channel):
            provided.completion_provider = None
        if not session.client.shows_inline(session.settings.completion_channel):
            provided.inline_completion_provider = None
        self._initialized = True
        return result

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._server.session.documents.open(params.text_document)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not self._server.session.documents.change(params):
            logger.warning("A change came for a document that is not open.")

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._server.session.documents.close(params.text_document.uri)
        self._forget([params.text_document])

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def lsp_notebook_document__did_open(self, params: types.DidOpenNotebookDocumentParams) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._server.session.documents.open_notebook(params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def lsp_notebook_document__did_change(self, params: types.DidChangeNotebookDocumentParams) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not self._server.session.documents.change_notebook(params):
            logger.warning("A change came for a notebook or a cell that is not open.")
        cells = params.change.cells
        if cells is not None and cells.structure is not None:
            self._forget(cells.structure.did_close or ())

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def lsp_notebook_document__did_close(self, params: types.DidCloseNotebookDocumentParams) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._server.session.documents.close_notebook(params)
        self._forget(params.cell_text_documents)

    def _forget(self, documents: Iterable[types.TextDocumentIdentifier]) -> None:
        for document in documents:
            self._server.session.completer.forget(document.uri)

    @lsp_method(types.EXIT)
    def lsp_exit(self, *_: Any) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self._server.session.lifecycle.exit(0 if self._shutdown else 1)
        raise SystemExit


_EVERY_CELL = types.NotebookDocumentSyncOptions([types.NotebookDocumentFilterWithNotebook(notebook="*")])


class LacunaServer(LanguageServer):
    """The server object that handlers receive; its state is in `session`."""

    protocol: LacunaProtocol  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, session: Session) -> None:
        self.session = session
        super().__init__("lacuna", __version__, protocol_cls=LacunaProtocol, notebook_document_sync=_EVERY_CELL)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Logs only. pygls would send a popup, and report a failure to send it by sending."""
        if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):  # of a message; handlers' errors are wrapped
            logger.warning("A message is not JSON.")
            self.protocol.answer_unreadable()
        elif not isinstance(error, JsonRpcMethodNotFound):
            logger.error("Unexpected error in %s.", getattr(source, "__name__", source), exc_info=error)

    def say(self, kind: types.MessageType, text: str) -> None:
        """One line for the client's log."""
        self.window_log_message(types.LogMessageParams(kind, text))
