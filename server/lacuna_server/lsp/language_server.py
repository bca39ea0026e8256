"""pygls, with its gaps closed: every request gets one answer, errors are logged and never sent as popups.

The text of documents is kept by `documents.py`; pygls's own workspace stays empty.
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
from lacuna_server.lsp import capabilities, reading, synchronisation
from lacuna_server.lsp.documents import Documents
from lacuna_server.lsp.session import Session

logger = logging.getLogger(__name__)
_RAW = frozenset({
    types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE, types.TEXT_DOCUMENT_DID_SAVE,
    types.TEXT_DOCUMENT_DID_CLOSE, types.NOTEBOOK_DOCUMENT_DID_OPEN, types.NOTEBOOK_DOCUMENT_DID_CHANGE,
    types.NOTEBOOK_DOCUMENT_DID_CLOSE, types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS,
    types.WORKSPACE_DID_CHANGE_WATCHED_FILES,
})  # fmt: skip
"""Notifications whose parameters are read by `synchronisation`: one that is left out is an edit that is not known."""
_ANSWERED = (types.ErrorCodes.MethodNotFound, types.ErrorCodes.InvalidParams, types.LSPErrorCodes.RequestFailed)
"""Codes of answers that say everything; other errors are logged."""
_SETTLED = object()
"""Stands for a message that was answered or left out while it was read."""


class LacunaProtocol(LanguageServerProtocol):
    """The life cycle as the specification wants it, and document synchronisation into our own store."""

    _server: LacunaServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, server: LacunaServer, converter: Any) -> None:
        super().__init__(server, converter)
        self._initialized = False
        self._client: Any = None
        """The raw parameters of initialize."""

    def receive(self, body: bytes) -> None:
        """Takes one message as it came. Whatever is in it, this only raises SystemExit."""
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            logger.warning("A message is not JSON.")
            self._refuse(None, types.ErrorCodes.ParseError, "The message is not JSON.")
            self.synchronise(synchronisation.missed, body)
            return
        try:
            self.handle_message(self.structure_message(data))
        except Exception as error:
            self._server.report_server_error(error, self.receive)

    def structure_message(self, data: Any) -> Any:
        """As pygls does, but liberally, and a request that does not parse is answered."""
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
            return self._refused(data, _misfit(error))

    def _initialize_request(self, data: dict[str, Any]) -> Any:
        """Only what is looked at is read: a client of a later protocol has capabilities that nobody here knows."""
        params = data.get("params")
        if "id" not in data:
            return _SETTLED
        if self._initialized:
            return JsonRPCRequestMessage(data["id"], types.INITIALIZE, self.VERSION, None)
        if (misfit := capabilities.misfit(params)) is not None:
            return self._refused(data, misfit)
        self._client = params
        return JsonRPCRequestMessage(data["id"], types.INITIALIZE, self.VERSION, capabilities.lean(params))

    def _refused(self, data: dict[str, Any], why: str) -> object:
        """Answers a request that cannot be read with the reason, and logs that of a notification."""
        if "id" in data and "method" in data:
            self._refuse(data["id"], types.ErrorCodes.InvalidParams, why)
        else:
            logger.error("A %s message was left out. %s", str(data.get("method", "response"))[:80], why)
        return _SETTLED

    def handle_message(self, message: Any) -> None:
        """Refuses what may not come at this point of the life cycle, and passes on the rest."""
        if message is _SETTLED:
            return
        if getattr(message, "jsonrpc", None) != self.VERSION:
            identity = message.get("id") if isinstance(message, dict) else None
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
        """Answers with an error. An id that is not known must be null; pygls would leave it out."""
        known = identity if isinstance(identity, (str, int, float)) and not isinstance(identity, bool) else None
        error = {"code": int(code), "message": message}
        self._send_data({"jsonrpc": self.VERSION, "id": known, "error": error})

    def _send_response(self, msg_id: Any, result: Any = None, error: types.ResponseError | None = None) -> None:
        """As pygls does, without the traceback that it puts into an error's data."""
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
        self.synchronise(synchronisation.did_open, params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.synchronise(synchronisation.did_change, params)

    @lsp_method(types.TEXT_DOCUMENT_DID_SAVE)
    def lsp_text_document__did_save(self, params: Any) -> Generator[Any, Any, None]:
        self.synchronise(synchronisation.did_save, params)
        yield self.fm.features[types.TEXT_DOCUMENT_DID_SAVE], (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.synchronise(synchronisation.did_close, params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def lsp_notebook_document__did_open(self, params: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.synchronise(synchronisation.did_open_notebook, params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def lsp_notebook_document__did_change(self, params: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.synchronise(synchronisation.did_change_notebook, params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def lsp_notebook_document__did_close(self, params: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.synchronise(synchronisation.did_close_notebook, params)

    def synchronise(self, apply: Callable[[Documents, Any], Iterable[str] | None], params: Any) -> None:
        """Applies a notification to the documents, forgets those that it closed, and tells of those it lost."""
        session = self._server.session
        before = session.documents.out_of_step()
        for uri in apply(session.documents, params) or ():
            session.completer.forget(uri)
        after = session.documents.out_of_step()
        if after != before:
            self._server.on_step([uri for uri in after if uri not in before])

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
        self.on_step: Callable[[Sequence[str]], None] = lambda _: None
        """Is called when documents went out of step, with these, or came back, with none."""
        super().__init__("lacuna", __version__, protocol_cls=LacunaProtocol, notebook_document_sync=_EVERY_CELL)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Logs only. pygls would send a popup, and report a failure to send it by sending.

        What was answered as the client's own mistake, or with a sentence of ours, is no error of the server.
        """
        code = error.code if isinstance(error, JsonRpcException) else None
        if code not in _ANSWERED:
            logger.error("Unexpected error in %s.", getattr(source, "__name__", source), exc_info=error)

    def say(self, kind: types.MessageType, text: str) -> None:
        """One line for the client's log."""
        self.window_log_message(types.LogMessageParams(kind, text))


def _raw(data: dict[str, Any]) -> Any:
    """A notification as it came; one that has an id is answered."""
    method, params = data["method"], data.get("params")
    if data.get("id") is None:
        return JsonRPCNotification(method, LacunaProtocol.VERSION, params)
    return JsonRPCRequestMessage(data["id"], method, LacunaProtocol.VERSION, params)


def _misfit(error: JsonRpcException) -> str:
    """Where a request does not fit, without the values in it."""
    cause = error.__cause__
    problems = transform_error(cause) if isinstance(cause, BaseException) else []
    return f"The parameters do not fit the method: {problems[0]}." if problems else "The message cannot be read."
