"""textDocument/completion: the popup, for editors without inline completion."""

from __future__ import annotations

from dataclasses import replace

from lsprotocol import types

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
        document, snapshot = session.documents.get(uri), session.snapshot(uri, params.position)
        shown = session.client.shows_popup(session.settings.completion_channel)
        if document is None or snapshot is None or not shown:
            return to_lsp.popup_list([], session.client)
        end = document.offset_at(params.position, session.documents.encoding)
        places = (end - len(to_lsp.word_before(snapshot)), end)
        word = types.Range(*(document.position_at(place, session.documents.encoding) for place in places))
        # in manual mode a menu that was asked for may have suggestions; editors cannot say more of who asked
        asked = params.context is not None and params.context.trigger_kind == types.CompletionTriggerKind.Invoked
        rules = session.rules_at(snapshot.uri_path)
        rules = replace(rules, automatic=True) if asked else rules
        answer = await session.complete(snapshot, False, rules)
        handed = session.feedback.hand_out(answer, uri)
        return to_lsp.popup_items(answer, handed, snapshot, word, session.client)
