"""pygls with fixes: every request gets exactly one answer, and errors are logged, never sent as popups.

`documents.py` keeps the text of documents; the workspace of pygls stays empty.
"""

from __future__ import annotations

import contextvars
import json
import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from types import NoneType
from typing import Any

from cattrs import transform_error
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, lsp_method
from pygls.protocol.json_rpc import JsonRPCNotification, JsonRPCRequestMessage

from lacuna_inference import __version__
from lacuna_server.lsp import capabilities, reading, synchronization
from lacuna_server.lsp.documents import Documents
from lacuna_server.lsp.session import Session

logger = logging.getLogger(__name__)
_RAW = frozenset({
    types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE, types.TEXT_DOCUMENT_DID_SAVE,
    types.TEXT_DOCUMENT_DID_CLOSE, types.NOTEBOOK_DOCUMENT_DID_OPEN, types.NOTEBOOK_DOCUMENT_DID_CHANGE,
    types.NOTEBOOK_DOCUMENT_DID_CLOSE, types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS,
    types.WORKSPACE_DID_CHANGE_WATCHED_FILES,
})  # fmt: skip
"""Notifications whose parameters `synchronization` reads itself: a dropped one would be an unknown edit."""
_ANSWERED = (types.ErrorCodes.MethodNotFound, types.ErrorCodes.InvalidParams, types.LSPErrorCodes.RequestFailed)
"""Error codes whose answer tells the client everything; other errors are logged."""
_HANDLED = object()
"""A message that was answered or dropped during parsing."""


class LacunaProtocol(LanguageServerProtocol):
    """The life cycle as specified, and document synchronization into `Documents`."""

    _server: LacunaServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, server: LacunaServer, converter: Any) -> None:
        super().__init__(server, converter)
        self._initialized = False
        self._client: Any = None
        """The raw parameters of initialize."""

    def receive(self, body: bytes) -> None:
        """Handles one raw message. Whatever it contains, this raises only SystemExit."""
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            logger.warning("A message is not JSON.")
            self._send_error(None, types.ErrorCodes.ParseError, "The message is not JSON.")
            self.synchronize(synchronization.unparsable, body)
            return
        try:
            self.handle_message(self.structure_message(data))
        except Exception as error:
            self._server.report_server_error(error, self.receive)

    def structure_message(self, data: Any) -> Any:
        """Parses a message as pygls does, but leniently. A request that cannot be parsed is answered."""
        method = data.get("method") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(method, (str, NoneType)):
            return data
        if method in _RAW:
            return _raw(data)
        if data.get("jsonrpc") != self.VERSION:
            return data
        if method == types.INITIALIZE:
            return self._initialize_request(data)
        try:
            return super().structure_message(reading.request(data))
        except JsonRpcException as error:
            return self._reject_unreadable(data, _validation_message(error))

    def _initialize_request(self, data: dict[str, Any]) -> Any:
        """Parses only the fields that are used: clients of later protocol versions have unknown capabilities."""
        params = data.get("params")
        if "id" not in data:
            return _HANDLED
        if self._initialized:
            return JsonRPCRequestMessage(data["id"], types.INITIALIZE, self.VERSION, None)
        if (problem := capabilities.initialize_error(params)) is not None:
            return self._reject_unreadable(data, problem)
        self._client = params
        return JsonRPCRequestMessage(data["id"], types.INITIALIZE, self.VERSION, capabilities.params_for_pygls(params))

    def _reject_unreadable(self, data: dict[str, Any], reason: str) -> object:
        """Answers an unreadable request with the reason; logs the reason for a notification or a response."""
        if "id" in data and "method" in data:
            self._send_error(data["id"], types.ErrorCodes.InvalidParams, reason)
        else:
            logger.error("A %s message was dropped. %s", str(data.get("method", "response"))[:80], reason)
        return _HANDLED

    def handle_message(self, message: Any) -> None:
        """Rejects messages that are not allowed at this point of the life cycle, and dispatches the others."""
        if message is _HANDLED:
            return
        if getattr(message, "jsonrpc", None) != self.VERSION:
            msg_id = message.get("id") if isinstance(message, dict) else None
            self._send_error(msg_id, types.ErrorCodes.InvalidRequest, "The message is not a JSON-RPC 2.0 object.")
        elif (error := self._lifecycle_error(getattr(message, "method", None))) is None:
            self._dispatch(message)
        elif (msg_id := getattr(message, "id", None)) is not None:
            self._send_error(msg_id, *error)

    def _dispatch(self, message: Any) -> None:
        """Dispatches as pygls does, which takes a quarter of a millisecond to determine the kind of a message."""
        context = contextvars.copy_context()
        if (method := getattr(message, "method", None)) is None:
            result, error = getattr(message, "result", None), getattr(message, "error", None)
            context.run(self._handle_response, message.id, result, error)
        elif hasattr(message, "id"):
            context.run(self._handle_request, message.id, method, message.params)
        else:
            context.run(self._handle_notification, method, message.params)

    def _lifecycle_error(self, method: str | None) -> tuple[int, str] | None:
        """The error for a method that is not allowed now, or None. A message without a method is a response."""
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

    def _send_error(self, msg_id: Any, code: int, message: str) -> None:
        """Answers with an error. An unknown id must be null; pygls would omit it."""
        known_id = msg_id if isinstance(msg_id, (str, int, float)) and not isinstance(msg_id, bool) else None
        error = {"code": int(code), "message": message}
        self._send_data({"jsonrpc": self.VERSION, "id": known_id, "error": error})

    def _send_response(self, msg_id: Any, result: Any = None, error: types.ResponseError | None = None) -> None:
        """Sends a response as pygls does, but without the traceback in an error's data."""
        super()._send_response(msg_id, result, types.ResponseError(error.code, error.message) if error else None)

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        session = self._server.session
        session.initialize(self._client)
        result = yield from super().lsp_initialize(params)
        provided = result.capabilities
        provided.position_encoding = session.documents.encoding = capabilities.position_encoding(self._client)
        if not session.client.shows_popup(session.settings.completion_channel):
            provided.completion_provider = None
        if not session.client.shows_inline(session.settings.completion_channel):
            provided.inline_completion_provider = None
        self._initialized = True
        return result

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.synchronize(synchronization.did_open, params)
        if (uri := reading.text(reading.at(params, "textDocument", "uri"))) is not None:
            self._server.session.opened(uri)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.synchronize(synchronization.did_change, params)
        self._server.session.other_files.edited(reading.text(reading.at(params, "textDocument", "uri")) or "")

    @lsp_method(types.TEXT_DOCUMENT_DID_SAVE)
    def lsp_text_document__did_save(self, params: Any) -> Generator[Any, Any, None]:
        self.synchronize(synchronization.did_save, params)
        yield self.fm.features[types.TEXT_DOCUMENT_DID_SAVE], (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.synchronize(synchronization.did_close, params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def lsp_notebook_document__did_open(self, params: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.synchronize(synchronization.did_open_notebook, params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def lsp_notebook_document__did_change(self, params: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.synchronize(synchronization.did_change_notebook, params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def lsp_notebook_document__did_close(self, params: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.synchronize(synchronization.did_close_notebook, params)

    def synchronize(self, apply: Callable[[Documents, Any], Iterable[str] | None], params: Any) -> None:
        """Applies a notification to the documents, forgets those that it closed, and reports changes of step."""
        session = self._server.session
        before = session.documents.out_of_sync()
        for uri in apply(session.documents, params) or ():
            session.completer.forget(uri)
            session.other_files.closed(uri)
        after = session.documents.out_of_sync()
        if after != before:
            self._server.on_out_of_step_change([uri for uri in after if uri not in before])

    @lsp_method(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def lsp_workspace__did_change_workspace_folders(self, params: Any) -> Generator[Any, Any, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self._server.session.client.trusts_folders:
            self._server.session.folders.change(params)
        yield self.fm.features[types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS], (params,), None

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
        self.on_out_of_step_change: Callable[[Sequence[str]], None] = lambda _: None
        """Called when documents go out of sync, with their URIs, or come back in sync, with none."""
        super().__init__("lacuna", __version__, protocol_cls=LacunaProtocol, notebook_document_sync=_EVERY_CELL)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Only logs the error. pygls would send a popup, and report a failure to send it by sending another.

        Errors that were answered as the client's mistake, or with a message of our own, are not logged.
        """
        code = error.code if isinstance(error, JsonRpcException) else None
        if code not in _ANSWERED:
            logger.error("Unexpected error in %s.", getattr(source, "__name__", source), exc_info=error)

    def log_to_client(self, kind: types.MessageType, text: str) -> None:
        """Writes one line to the client's log."""
        self.window_log_message(types.LogMessageParams(kind, text))


def _raw(data: dict[str, Any]) -> Any:
    """A notification with raw parameters; one that has an id becomes a request, so that it is answered."""
    method, params = data["method"], data.get("params")
    if data.get("id") is None:
        return JsonRPCNotification(method, LacunaProtocol.VERSION, params)
    return JsonRPCRequestMessage(data["id"], method, LacunaProtocol.VERSION, params)


def _validation_message(error: JsonRpcException) -> str:
    """Where a request is invalid, without its values."""
    cause = error.__cause__
    problems = transform_error(cause) if isinstance(cause, BaseException) else []
    return f"The parameters are invalid: {problems[0]}." if problems else "The message cannot be read."
