"""What the client can do, resolved once from its raw capabilities into named questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lsprotocol import types

from lacuna_server.lsp.reading import at, items, text
from lacuna_server.settings_schema import Channel

_LOOKED_AT = (
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
"""Names, Python's types and the protocol's words for what decides how the server behaves."""


@dataclass(frozen=True, slots=True)
class Client:
    """Answers to the questions that the handlers ask."""

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
    """Wants `lacuna/status`."""
    trusts_folders: bool = True
    """Whether the user trusts the workspace's folders, so that their settings files are read."""

    def shows_inline(self, channel: Channel) -> bool:
        """Whether suggestions go out through textDocument/inlineCompletion."""
        return channel in ("inline", "both") or (channel == "auto" and self.inline_completion)

    def shows_popup(self, channel: Channel) -> bool:
        """Whether suggestions go out through textDocument/completion."""
        return channel in ("popup", "both") or (channel == "auto" and not self.inline_completion)


def resolve(params: Any) -> Client:
    """The client behind an initialize request, from its raw parameters."""
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
    """The first encoding the client offers that the server knows; UTF-16 when it offers none."""
    known = {kind.value: kind for kind in types.PositionEncodingKind}
    offered = _list(at(params, "capabilities", "general", "positionEncodings"))
    return next((known[name] for name in offered if text(name) in known), types.PositionEncodingKind.Utf16)


def misfit(params: Any) -> str | None:
    """What is so wrong with the parameters of initialize that the server cannot go on, as a sentence.

    Only what is looked at, and what would change what the server does: values of a later protocol are none of it.
    """
    if not isinstance(params, Mapping):
        return "The parameters of initialize must be an object."
    for name, kinds, kind in _LOOKED_AT:
        value = at(params, *name.split("."))
        if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            return f"In initialize, {name} must be {kind}."
    return None


def lean(params: Any) -> types.InitializeParams:
    """What pygls is told of the client: whether it has notebooks. It needs nothing else."""
    synchronisation = types.NotebookDocumentSyncClientCapabilities()
    notebooks = at(params, "capabilities", "notebookDocument") is not None
    return types.InitializeParams(
        types.ClientCapabilities(
            notebook_document=types.NotebookDocumentClientCapabilities(synchronisation) if notebooks else None
        )
    )


def _list(value: Any) -> list[Any]:
    return items(value) or []
