"""What the client can do, resolved once from its raw capabilities into named questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lsprotocol import types

from lacuna_server.settings import Channel


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
    status: bool = False
    """Wants `lacuna/status`."""

    def shows_inline(self, channel: Channel) -> bool:
        """Whether suggestions go out through textDocument/inlineCompletion."""
        return channel in ("inline", "both") or (channel == "auto" and self.inline_completion)

    def shows_popup(self, channel: Channel) -> bool:
        """Whether suggestions go out through textDocument/completion."""
        return channel in ("popup", "both") or (channel == "auto" and not self.inline_completion)


def resolve(params: types.InitializeParams) -> Client:
    """The client behind an initialize request."""
    raw = params.capabilities
    document = raw.text_document or types.TextDocumentClientCapabilities()
    window = raw.window or types.WindowClientCapabilities()
    workspace = raw.workspace or types.WorkspaceClientCapabilities()
    item = document.completion.completion_item if document.completion else None
    modes = item.insert_text_mode_support if item else None
    watched = workspace.did_change_configuration
    return Client(
        name=params.client_info.name if params.client_info else "",
        inline_completion=document.inline_completion is not None,
        snippets=bool(item and item.snippet_support),
        markdown=types.MarkupKind.Markdown in ((item.documentation_format if item else None) or ()),
        insert_as_is=bool(modes and types.InsertTextMode.AsIs in modes.value_set),
        progress=bool(window.work_done_progress),
        configuration=bool(workspace.configuration),
        watches_configuration=bool(watched and watched.dynamic_registration),
        status=_at(raw.experimental, "lacuna", "status") is True,
    )


def _at(value: Any, *names: str) -> Any:
    """What stands under `names` in a free object of the client, as pygls reads it: a mapping, or a named tuple."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return value


def position_encoding(params: types.InitializeParams) -> types.PositionEncodingKind:
    """The first encoding the client offers that the server knows; UTF-16 when it offers none."""
    general = params.capabilities.general
    for offered in (general.position_encodings if general else None) or ():
        if offered in set(types.PositionEncodingKind):
            return types.PositionEncodingKind(offered)
    return types.PositionEncodingKind.Utf16
