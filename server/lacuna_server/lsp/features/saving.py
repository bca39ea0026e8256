"""textDocument/didSave: with its text, so that a document that is out of step comes back; it may be a lacuna.toml."""

from __future__ import annotations

from typing import Any

from lsprotocol import types

from lacuna_server.lsp import synchronisation
from lacuna_server.lsp.features import configuration
from lacuna_server.lsp.language_server import LacunaServer


def register(server: LacunaServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_SAVE, types.SaveOptions(include_text=True))
    async def saved(ls: LacunaServer, params: Any) -> None:
        ls.protocol.synchronise(synchronisation.did_save, params)
        await configuration.reread(ls)  # not every client tells when a file was written
