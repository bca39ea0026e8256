"""textDocument/didSave with the text, which `LacunaProtocol` has used to bring the document back in sync."""

from __future__ import annotations

from lsprotocol import types

from lacuna_server.lsp.features import configuration
from lacuna_server.lsp.language_server import LacunaServer


def register(server: LacunaServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_SAVE, types.SaveOptions(include_text=True))
    async def saved(ls: LacunaServer, _: object) -> None:
        await configuration.reread(ls)  # not every client watches files
