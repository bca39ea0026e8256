"""The whole server with the bundled model over stdio, as an editor drives it."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_lsp
from lsprotocol import types
from pygls.exceptions import JsonRpcRequestCancelled
from pytest_lsp import ClientServerConfig, LanguageClient

SERVER = [str(Path(sys.executable).parent / "lacuna"), "lsp"]
URI, OTHER = "file:///project/shapes.py", "file:///project/other.py"
TEXT = (
    "class Shape:\n    def __init__(self, width, height):\n        self.width = width\n        \n\n"
    "    def area(self):\n        return self.width * self.height\n"
)


def capabilities() -> types.ClientCapabilities:
    return types.ClientCapabilities(
        general=types.GeneralClientCapabilities(position_encodings=[types.PositionEncodingKind.Utf16]),
        window=types.WindowClientCapabilities(work_done_progress=True),
        workspace=types.WorkspaceClientCapabilities(configuration=True),
        text_document=types.TextDocumentClientCapabilities(
            completion=types.CompletionClientCapabilities(
                completion_item=types.ClientCompletionItemOptions(
                    documentation_format=[types.MarkupKind.Markdown],
                    insert_text_mode_support=types.ClientCompletionItemInsertTextModeOptions(
                        [types.InsertTextMode.AsIs, types.InsertTextMode.AdjustIndentation]
                    ),
                )
            ),
            inline_completion=types.InlineCompletionClientCapabilities(),
        ),
    )


pytestmark = pytest.mark.face


@pytest_lsp.fixture(config=ClientServerConfig(server_command=SERVER), scope="module")
async def client(lsp_client: LanguageClient) -> AsyncIterator[None]:  # type: ignore[misc]
    lsp_client.set_configuration({"lacuna": {"max_tokens": 24, "completion_channel": "both"}})
    params = types.InitializeParams(
        capabilities=capabilities(), initialization_options={"completion_channel": "both", "candidates": 2}
    )
    await lsp_client.initialize_session(params)
    await until(lsp_client, "Lacuna is ready")
    yield
    await lsp_client.shutdown_session()


async def until(client: LanguageClient, text: str) -> None:
    """Waits for a line in the client's log."""
    while not any(text in message.message for message in client.log_messages):
        await client.wait_for_notification(types.WINDOW_LOG_MESSAGE)


def open_document(client: LanguageClient, uri: str, text: str) -> None:
    client.text_document_did_open(types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, "python", 1, text)))


def close_document(client: LanguageClient, uri: str) -> None:
    client.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri)))


def type_text(client: LanguageClient, uri: str, line: int, column: int, text: str) -> None:
    """Types `text` one character a change, as an editor does."""
    for number, character in enumerate(text):
        at = types.Position(line, column + number)
        change = types.TextDocumentContentChangePartial(types.Range(at, at), character)
        identifier = types.VersionedTextDocumentIdentifier(2 + number, uri)
        client.text_document_did_change(types.DidChangeTextDocumentParams(identifier, [change]))


def inline_params(
    uri: str,
    line: int,
    column: int,
    kind: types.InlineCompletionTriggerKind = types.InlineCompletionTriggerKind.Automatic,
) -> types.InlineCompletionParams:
    context = types.InlineCompletionContext(kind)
    return types.InlineCompletionParams(context, types.TextDocumentIdentifier(uri), types.Position(line, column))


async def inline(client: LanguageClient, params: types.InlineCompletionParams) -> list[types.InlineCompletionItem]:
    result = await client.text_document_inline_completion_async(params)
    assert isinstance(result, types.InlineCompletionList)
    return list(result.items)


async def test_loading_was_shown_as_progress(client: LanguageClient) -> None:
    (reports,) = client.progress_reports.values()
    assert isinstance(reports[0], types.WorkDoneProgressBegin)
    assert any(isinstance(report, types.WorkDoneProgressReport) for report in reports)
    assert isinstance(reports[-1], types.WorkDoneProgressEnd)


async def test_typing_and_inline_completion(client: LanguageClient) -> None:
    open_document(client, URI, TEXT)
    type_text(client, URI, 3, 8, "self.height =")
    items = await inline(client, inline_params(URI, 3, 21))
    assert len(items) == 1
    (item,) = items
    assert isinstance(item.insert_text, str)
    assert item.insert_text.strip()
    assert "\n" not in item.insert_text
    here = types.Position(3, 21)
    assert item.range == types.Range(here, here)
    close_document(client, URI)


async def test_completion_at_the_same_cursor(client: LanguageClient) -> None:
    open_document(client, URI, TEXT)
    type_text(client, URI, 3, 8, "self.height =")
    position = types.Position(3, 21)
    params = types.CompletionParams(types.TextDocumentIdentifier(URI), position)
    result = await client.text_document_completion_async(params)
    assert isinstance(result, types.CompletionList)
    assert result.is_incomplete
    (item,) = result.items
    assert re.fullmatch(r"Lacuna \(bundled, \d+ %\)", item.detail or "")
    assert isinstance(item.text_edit, types.TextEdit)
    (suggestion,) = await inline(client, inline_params(URI, 3, 21))
    assert item.text_edit.new_text == suggestion.insert_text
    close_document(client, URI)


async def test_the_popup_s_edit_begins_at_the_word_even_with_wide_characters(client: LanguageClient) -> None:
    open_document(client, OTHER, "größe = 1\n𠮷野 = größ\nreturn 𠮷")
    for line, column, start in ((1, 10, 6), (2, 9, 7)):
        params = types.CompletionParams(types.TextDocumentIdentifier(OTHER), types.Position(line, column))
        result = await client.text_document_completion_async(params)
        assert isinstance(result, types.CompletionList)
        for item in result.items:
            assert isinstance(item.text_edit, types.TextEdit)
            assert item.text_edit.range == types.Range(types.Position(line, start), types.Position(line, column))
    close_document(client, OTHER)


async def test_an_invoked_request_may_return_several_distinct_items(client: LanguageClient) -> None:
    open_document(client, URI, TEXT)
    items = await inline(client, inline_params(URI, 3, 8, types.InlineCompletionTriggerKind.Invoked))
    texts = [item.insert_text for item in items]
    assert len(texts) == len(set(map(str, texts))) <= 2
    close_document(client, URI)


async def test_a_cancelled_request_is_answered_as_cancelled_and_the_next_one_works(client: LanguageClient) -> None:
    open_document(
        client, URI, TEXT + "".join(f"x{n} = Shape({n}, {n})\n" for n in range(60))
    )  # not in the cache yet: takes time
    method, params = types.TEXT_DOCUMENT_INLINE_COMPLETION, inline_params(URI, 3, 8)
    request = client.protocol.send_request_async(method, params, msg_id="to-be-cancelled")
    task = asyncio.ensure_future(request)
    await asyncio.sleep(0)  # lets the request go out; the cancellation follows in the next frame
    client.cancel_request(types.CancelParams("to-be-cancelled"))
    with pytest.raises(JsonRpcRequestCancelled):
        await task
    await inline(client, params)
    close_document(client, URI)


async def test_overlapping_requests_each_get_one_answer(client: LanguageClient) -> None:
    open_document(client, URI, TEXT)
    answers = await asyncio.gather(*(inline(client, inline_params(URI, 3, 8)) for _ in range(6)))
    assert len(answers) == 6
    texts = {item.insert_text for answer in answers for item in answer}
    assert texts == {item.insert_text for item in await inline(client, inline_params(URI, 3, 8))}
    close_document(client, URI)


async def test_both_channels_at_once_do_not_replace_each_other(client: LanguageClient) -> None:
    open_document(client, URI, TEXT)
    type_text(client, URI, 3, 8, "self.height =")
    params = types.CompletionParams(types.TextDocumentIdentifier(URI), types.Position(3, 21))
    popup, grey = await asyncio.gather(
        client.text_document_completion_async(params), inline(client, inline_params(URI, 3, 21))
    )
    assert isinstance(popup, types.CompletionList)
    assert len(popup.items) == len(grey) == 1
    close_document(client, URI)


async def test_a_second_document_is_kept_separate(client: LanguageClient) -> None:
    open_document(client, URI, TEXT)
    open_document(client, OTHER, "📦 = '漢字'\nvalue = \n")
    for uri, line, column in ((URI, 3, 8), (OTHER, 1, 8), (OTHER, 0, 2)):
        for item in await inline(client, inline_params(uri, line, column)):
            assert item.range is not None
            assert item.range.start == types.Position(line, column)
    close_document(client, OTHER)
    assert await inline(client, inline_params(OTHER, 1, 8)) == []
    close_document(client, URI)


async def test_no_message_box_was_shown(client: LanguageClient) -> None:
    assert client.messages == []


async def test_explain_reports_the_cost_of_the_last_answer(client: LanguageClient) -> None:
    open_document(client, URI, TEXT)
    type_text(client, URI, 3, 8, "self.area =")
    await inline(client, inline_params(URI, 3, 19))
    explained = await client.workspace_execute_command_async(types.ExecuteCommandParams("lacuna.explain"))
    assert explained["model"] == "bundled"
    assert explained["counters"]["forward"] == "own"
    assert explained["counters"]["total_s"] > 0
    close_document(client, URI)
