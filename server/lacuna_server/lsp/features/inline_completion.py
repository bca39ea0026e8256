"""textDocument/inlineCompletion: suggestions as grey text at the cursor."""

from __future__ import annotations

from lsprotocol import types

from lacuna_server.lsp import to_lsp
from lacuna_server.lsp.features import status
from lacuna_server.lsp.features.boundary import guarded
from lacuna_server.lsp.language_server import LacunaServer


def register(server: LacunaServer) -> None:
    # Without the options, pygls omits the capability.
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    @guarded(types.InlineCompletionList([]))
    async def inline_completion(ls: LacunaServer, params: types.InlineCompletionParams) -> types.InlineCompletionList:
        session = ls.session
        snapshot = session.snapshot(params.text_document.uri, params.position)
        if snapshot is None or not session.client.shows_inline(session.settings.completion_channel):
            return types.InlineCompletionList([])
        invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
        answer = await session.complete(snapshot, invoked)
        status.report_language(ls, answer)
        status.report_limit(ls, answer)
        selected = params.context.selected_completion_info
        if selected is not None:
            answer = to_lsp.matching_selected(answer, selected, snapshot)
        ids = session.feedback.register(answer, params.text_document.uri)
        if selected is not None:
            return to_lsp.with_selected(answer, ids, selected, snapshot)
        return to_lsp.inline_items(answer, ids, params.position)
