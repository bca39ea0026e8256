"""The client's capabilities, resolved once from the raw initialize request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lsprotocol import types

from lacuna_server.lsp.reading import at, items, text
from lacuna_server.settings_schema import Channel

_CHECKED_FIELDS = (
    ("processId", (int, float), "a number or null"),
    ("rootUri", str, "a string or null"),
    ("rootPath", str, "a string or null"),
    ("workspaceFolders", list, "a list or null"),
    ("capabilities", Mapping, "an object"),
    ("capabilities.general", Mapping, "an object"),
    ("capabilities.general.positionEncodings", list, "a list"),
    ("capabilities.textDocument", Mapping, "an object"),
    ("capabilities.workspace", Mapping, "an object"),
    ("capabilities.window", Mapping, "an object"),
)
"""Fields that affect the server's behavior: name, Python types, and the type in the protocol's terms."""


@dataclass(frozen=True, slots=True)
class Client:
    """The capabilities of the client that the handlers need."""

    name: str = ""
    inline_completion: bool = False
    snippets: bool = False
    insert_as_is: bool = False
    markdown: bool = False
    progress: bool = False
    configuration: bool = False
    watches_configuration: bool = False
    watches_files: bool = False
    status: bool = False
    """Accepts `lacuna/status` notifications."""
    trusts_folders: bool = True
    """Whether the user trusts the workspace's folders; only then are their settings files read."""

    def shows_inline(self, channel: Channel) -> bool:
        """Whether suggestions are sent through textDocument/inlineCompletion."""
        return channel in ("inline", "both") or (channel == "auto" and self.inline_completion)

    def shows_popup(self, channel: Channel) -> bool:
        """Whether suggestions are sent through textDocument/completion."""
        return channel in ("popup", "both") or (channel == "auto" and not self.inline_completion)


def resolve(params: Any) -> Client:
    """The client that sent an initialize request, from the raw parameters."""
    raw = at(params, "capabilities")
    document, workspace = at(raw, "textDocument"), at(raw, "workspace")
    item = at(document, "completion", "completionItem")
    return Client(
        name=text(at(params, "clientInfo", "name")) or "",
        inline_completion=at(document, "inlineCompletion") not in (None, False),
        snippets=at(item, "snippetSupport") is True,
        markdown="markdown" in _list(at(item, "documentationFormat")),
        insert_as_is=types.InsertTextMode.AsIs in _list(at(item, "insertTextModeSupport", "valueSet")),
        progress=at(raw, "window", "workDoneProgress") is True,
        configuration=at(workspace, "configuration") is True,
        watches_configuration=at(workspace, "didChangeConfiguration", "dynamicRegistration") is True,
        watches_files=at(workspace, "didChangeWatchedFiles", "dynamicRegistration") is True,
        status=at(raw, "experimental", "lacuna", "status") is True,
        trusts_folders=at(raw, "experimental", "lacuna", "trustsFolders") is not False,
    )


def position_encoding(params: Any) -> types.PositionEncodingKind:
    """The first encoding of the client's offer that the server knows; UTF-16 when there is none."""
    known = {kind.value: kind for kind in types.PositionEncodingKind}
    offered = _list(at(params, "capabilities", "general", "positionEncodings"))
    return next((known[name] for name in offered if text(name) in known), types.PositionEncodingKind.Utf16)


def initialize_error(params: Any) -> str | None:
    """A sentence about invalid parameters of initialize with which the server cannot continue, or None.

    Checks only the fields that affect the server, so that values of later protocol versions are accepted.
    """
    if not isinstance(params, Mapping):
        return "The parameters of initialize must be an object."
    for name, python_types, description in _CHECKED_FIELDS:
        value = at(params, *name.split("."))
        if value is not None and (not isinstance(value, python_types) or isinstance(value, bool)):
            return f"In initialize, {name} must be {description}."
    return None


def params_for_pygls(params: Any) -> types.InitializeParams:
    """The parameters that pygls gets: only whether the client supports notebooks. It needs nothing else."""
    synchronization = types.NotebookDocumentSyncClientCapabilities()
    notebooks = at(params, "capabilities", "notebookDocument") is not None
    return types.InitializeParams(
        types.ClientCapabilities(
            notebook_document=types.NotebookDocumentClientCapabilities(synchronization) if notebooks else None
        )
    )


def _list(value: Any) -> list[Any]:
    return items(value) or []
