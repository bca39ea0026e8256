"""textDocument/completion: suggestions in the popup menu, for editors without inline completion."""

from __future__ import annotations

from dataclasses import replace

from lsprotocol import types

from lacuna_server.lsp import to_lsp
from lacuna_server.lsp.features import status
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
        offsets = (end - len(to_lsp.word_before(snapshot)), end)
        word = types.Range(*(document.position_at(offset, session.documents.encoding) for offset in offsets))
        # In manual mode, a menu that the user opened may have suggestions. Editors cannot distinguish further.
        invoked = params.context is not None and params.context.trigger_kind == types.CompletionTriggerKind.Invoked
        rules = session.rules_at(snapshot.uri_path)
        rules = replace(rules, automatic=True) if invoked else rules
        answer = await session.complete(snapshot, False, rules)
        status.report_language(ls, answer)
        status.report_limit(ls, answer)
        ids = session.feedback.register(answer, uri)
        return to_lsp.popup_items(answer, ids, snapshot, word, session.client)
