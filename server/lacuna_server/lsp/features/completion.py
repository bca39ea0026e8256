"""textDocument/completion: the popup, for editors without inline completion."""

from __future__ import annotations

from dataclasses import replace

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
        document, snapshot = session.documents.get(uri), session.documents.snapshot(uri, params.position)
        if document is None or snapshot is None:
            return types.CompletionList(is_incomplete=True, items=[])
        word = to_lsp.word_before(snapshot)
        start, end = (
            document.position_at(offset, session.documents.encoding)
            for offset in (snapshot.offset - len(word), snapshot.offset)
        )
        if not session.client.shows_popup(session.settings.completion_channel):
            return types.CompletionList(is_incomplete=True, items=[])
        # a key of its own: a client that shows both channels asks both, and neither may replace the other
        own = replace(snapshot, key=f"{uri}#popup")
        answer = session.last = await service.complete(session.engine, own, session.policy)
        return to_lsp.popup_items(answer, snapshot, types.Range(start, end), session.client, document.language)
