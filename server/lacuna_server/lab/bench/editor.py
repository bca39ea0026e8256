"""An editor that types a session into the real `lacuna lsp` over stdio and waits for each suggestion."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from typing import Any

import psutil
from lsprotocol import types
from pygls.lsp.client import LanguageClient

from lacuna_server.lab.bench.typing import Answer, Run
from lacuna_server.lab.bench.typist import Key, Session

_URI = "file:///bench/{}"
_READY = "Lacuna is ready"


async def drive(session: Session, environment: Mapping[str, str]) -> Run:
    """Every key is followed by a request; the next one comes after its human gap, and never before the answer."""
    client = LanguageClient("lacuna bench", "1")
    ready = asyncio.Event()

    @client.feature(types.WINDOW_LOG_MESSAGE)  # type: ignore[untyped-decorator]
    def on_log(params: types.LogMessageParams) -> None:
        if _READY in params.message:
            ready.set()

    await client.start_io(sys.executable, "-P", "-m", "lacuna_server", "lsp", env=dict(environment))
    try:
        inline = types.TextDocumentClientCapabilities(inline_completion=types.InlineCompletionClientCapabilities())
        await client.initialize_async(
            types.InitializeParams(capabilities=types.ClientCapabilities(text_document=inline))
        )
        client.initialized(types.InitializedParams())
        await asyncio.wait_for(ready.wait(), 300)
        uri = _URI.format(session.name)
        client.text_document_did_open(
            types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, "python", 0, session.text))
        )
        process = _process(client)
        before = process.cpu_times()
        answers = await _typed(client, uri, session)
        after = process.cpu_times()
        cpu_s = after.user + after.system - before.user - before.system
        return Run(answers, cpu_s, process.memory_info().rss)
    finally:
        await client.shutdown_async(None)
        client.exit(None)
        await client.stop()  # type: ignore[no-untyped-call]


async def _typed(client: LanguageClient, uri: str, session: Session) -> list[Answer]:
    answers, text = [], session.text
    for version, key in enumerate(session.keys, 1):
        started = time.perf_counter()
        client.text_document_did_change(_change(uri, version, text, key))
        items = await client.text_document_inline_completion_async(
            types.InlineCompletionParams(
                context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
                text_document=types.TextDocumentIdentifier(uri),
                position=_position(key.text, key.cursor),
            )
        )
        taken = time.perf_counter() - started
        explained = await client.workspace_execute_command_async(types.ExecuteCommandParams("lacuna.explain"))
        counters = dict(explained["counters"]) if explained else {}
        answers.append(Answer(taken, key.gap_s, _text(items), counters, key.jumped))
        text = key.text
        await asyncio.sleep(max(0.0, key.gap_s - (time.perf_counter() - started)))
    return answers


def _change(uri: str, version: int, text: str, key: Key) -> types.DidChangeTextDocumentParams:
    span = types.Range(_position(text, key.start), _position(text, key.start + key.deleted))
    return types.DidChangeTextDocumentParams(
        types.VersionedTextDocumentIdentifier(version, uri),
        [types.TextDocumentContentChangePartial(span, key.inserted)],
    )


def _position(text: str, offset: int) -> types.Position:
    """In UTF-16 units, the encoding that needs no agreement."""
    line_start = text.rfind("\n", 0, offset) + 1
    return types.Position(text.count("\n", 0, offset), len(text[line_start:offset].encode("utf-16-le")) // 2)


def _text(items: Any) -> str:
    found = items.items if isinstance(items, types.InlineCompletionList) else items or []
    return str(getattr(found[0].insert_text, "value", found[0].insert_text)) if found else ""


def _process(client: LanguageClient) -> psutil.Process:
    server = client._server
    assert server is not None
    return psutil.Process(server.pid)
