"""textDocument/completion: the popup, for editors without inline completion."""

from __future__ import annotations

from lsprotocol import types

from lacuna_server.core import service
from lacuna_server.lsp import to_lsp
from lacuna_server.lsp.features.boundary import guarded
from lacuna_server.lsp.language_server import LacunaServer

TRIGGER_CHARACTERS = [".", "(", "[", ",", "="]


def register(server: LacunaServer) -> None:
    options = types.CompletionOptions(trigger_characters=TRIGGER_CHARACTERS, resolve_provider=False)

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, options)
    @guarded(types.CompletionList(is_incomplete=True, items=[]))
    async def completion(ls: LacunaServer, params: types.CompletionParams) -> types.CompletionList:
        session = ls.session
        uri = params.text_document.uri
        snapshot = session.documents.snapshot(uri, params.position)
        if snapshot is None:
            return types.CompletionList(is_incomplete=True, items=[])
        document = session.documents.get(uri)
        language = document.language if document else ""
        answer = await service.complete(session.engine, snapshot, session.policy)
        return to_lsp.popup_items(answer, snapshot, params.position, session.client, language)
