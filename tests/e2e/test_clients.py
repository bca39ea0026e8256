"""The recorded capabilities of real editors: each gets several lines in a form that it inserts completely."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_lsp
from lsprotocol import converters, types
from pytest_lsp import ClientServerConfig, LanguageClient

TESTS = Path(__file__).parents[1]
RECORDED = sorted((TESTS / "data/clients").glob("*.json"))
SERVER = [sys.executable, "-P", str(TESTS / "editors/scripted_server.py")]
URI = "file:///project/a.py"
BEFORE, TYPED = "s = '😀 家族'\n", "x📦漢字 = "
SUGGESTION = 'dict(\n    key="値",\n    emoji="🎉",\n)'
WIDTH = {"utf-8": lambda c: len(c.encode()), "utf-16": lambda c: len(c.encode("utf-16-le")) // 2, "utf-32": len}


@pytest_lsp.fixture(
    config=ClientServerConfig(server_command=SERVER), params=[None, *RECORDED], ids=lambda p: p.stem if p else "none"
)
async def client(request: pytest.FixtureRequest, lsp_client: LanguageClient) -> AsyncIterator[None]:  # type: ignore[misc]
    recorded = json.loads(request.param.read_text()) if request.param else {"capabilities": {}}
    raw = {"processId": None, "rootUri": None, **recorded}
    params = converters.get_converter().structure(raw, types.InitializeParams)

    @lsp_client.feature(types.CLIENT_REGISTER_CAPABILITY)
    def registered(params: types.RegistrationParams) -> None:
        """Every editor answers this request."""

    lsp_client.encoding = "utf-16"  # type: ignore[attr-defined]
    answer = await lsp_client.initialize_session(params)
    lsp_client.encoding = answer.capabilities.position_encoding or "utf-16"  # type: ignore[attr-defined]
    while not any("Lacuna is ready" in message.message for message in lsp_client.log_messages):
        await lsp_client.wait_for_notification(types.WINDOW_LOG_MESSAGE)
    lsp_client.provides = answer.capabilities  # type: ignore[attr-defined]
    yield
    assert lsp_client.messages == []
    await lsp_client.shutdown_session()


async def typed(client: Any) -> types.Position:
    """Opens a document and types a line, key by key; returns the position of the cursor."""
    client.text_document_did_open(types.DidOpenTextDocumentParams(types.TextDocumentItem(URI, "python", 0, BEFORE)))
    column = 0
    for version, key in enumerate(TYPED, 1):
        at = types.Position(1, column)
        change = types.TextDocumentContentChangePartial(types.Range(at, at), key)
        client.text_document_did_change(
            types.DidChangeTextDocumentParams(types.VersionedTextDocumentIdentifier(version, URI), [change])
        )
        column += WIDTH[client.encoding](key)
    return types.Position(1, column)


async def test_a_suggestion_in_the_form_of_this_client(client: Any) -> None:
    document, position = types.TextDocumentIdentifier(URI), await typed(client)
    here = types.Range(position, position)
    if client.provides.inline_completion_provider:
        assert client.provides.completion_provider is None
        context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic)
        params = types.InlineCompletionParams(context, document, position)
        (item,) = (await client.text_document_inline_completion_async(params)).items
        assert (item.insert_text, item.range) == (SUGGESTION, here)
        return
    (item,) = (await client.text_document_completion_async(types.CompletionParams(document, position))).items
    assert item.text_edit.range == here
    text = item.text_edit.new_text
    if item.insert_text_format == types.InsertTextFormat.Snippet:
        text = text.replace("\\$", "$").replace("\\}", "}").replace("\\\\", "\\")
    assert text == SUGGESTION
    assert item.label == "dict(…"
    assert (item.filter_text, item.sort_text) == ("dict(", "0000")
    assert 'emoji="🎉"' in str(getattr(item.documentation, "value", item.documentation))
