"""An editor that types a session into a real `lacuna lsp` over stdio and waits for each suggestion."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psutil
from lsprotocol import types
from pygls.lsp.client import LanguageClient

from lacuna_lab.bench import stamped
from lacuna_lab.bench.typing_bench import Run, TypedAnswer
from lacuna_lab.bench.typing_trace import TypingTrace

_URI = "file:///bench/{}"
_READY = "Lacuna is ready"
_START_TIMEOUT_S = 300
_BETWEEN_EDITS_S = 0.01


@asynccontextmanager
async def connect(
    environment: Mapping[str, str], program: Sequence[str] = ("lacuna_server", "lsp")
) -> AsyncIterator[LanguageClient]:
    """Starts a server and yields its client once the model is warm; both end with the block.

    `program` is a module and its arguments.
    """
    client = LanguageClient("lacuna bench", "1")
    ready = asyncio.Event()

    @client.feature(types.WINDOW_LOG_MESSAGE)  # type: ignore[untyped-decorator]
    def on_log(params: types.LogMessageParams) -> None:
        if _READY in params.message:
            ready.set()

    await client.start_io(sys.executable, "-P", "-m", *program, env=dict(environment))
    try:
        inline = types.TextDocumentClientCapabilities(inline_completion=types.InlineCompletionClientCapabilities())
        await client.initialize_async(
            types.InitializeParams(capabilities=types.ClientCapabilities(text_document=inline))
        )
        client.initialized(types.InitializedParams())
        await asyncio.wait_for(ready.wait(), _START_TIMEOUT_S)
        yield client
    finally:
        await client.shutdown_async(None)
        client.exit(None)
        await client.stop()  # type: ignore[no-untyped-call]


def open_document(client: LanguageClient, session: TypingTrace) -> str:
    """Opens the session's document and returns its URI."""
    uri = _URI.format(session.name)
    document = types.TextDocumentItem(uri, "python", 0, session.text)
    client.text_document_did_open(types.DidOpenTextDocumentParams(document))
    return uri


async def ask(client: LanguageClient, uri: str, position: types.Position) -> str:
    """The suggestion at `position`, or an empty text."""
    context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic)
    document = types.TextDocumentIdentifier(uri)
    return _text(
        await client.text_document_inline_completion_async(
            types.InlineCompletionParams(context=context, text_document=document, position=position)
        )
    )


def change(uri: str, version: int, span: types.Range, inserted: str) -> types.DidChangeTextDocumentParams:
    """An edit of an open document."""
    return types.DidChangeTextDocumentParams(
        types.VersionedTextDocumentIdentifier(version, uri), [types.TextDocumentContentChangePartial(span, inserted)]
    )


async def drive(session: TypingTrace, environment: Mapping[str, str]) -> Run:
    """Types the session. A request follows every keystroke; the next keystroke waits for its gap and for the answer."""
    async with connect(environment) as client:
        uri = open_document(client, session)
        process = _process(client)
        before = process.cpu_times()
        answers = await _type(client, uri, session)
        after = process.cpu_times()
        cpu_s = after.user + after.system - before.user - before.system
        return Run(answers, cpu_s, process.memory_info().rss)


async def edit_delays(session: TypingTrace, environment: Mapping[str, str], answers: int) -> list[float]:
    """Seconds from sending each edit until the server has applied it, while `answers` answers are computed."""
    async with connect(environment, (stamped.__name__,)) as client:
        uri = open_document(client, session)
        lines = session.text.count("\n")
        end = types.Range(types.Position(lines, 0), types.Position(lines, 0))
        rng = random.Random(0)
        version = 0
        for _ in range(answers):
            request = asyncio.ensure_future(ask(client, uri, types.Position(rng.randrange(lines), 0)))
            while not request.done():
                version += 1
                client.text_document_did_change(change(uri, version, end, stamped.stamp()))
                await asyncio.sleep(_BETWEEN_EDITS_S)
        delays: list[float] = await client.protocol.send_request_async(stamped.DELAYS, None)
    return delays


async def _type(client: LanguageClient, uri: str, session: TypingTrace) -> list[TypedAnswer]:
    answers, text = [], session.text
    for version, key in enumerate(session.keys, 1):
        started = time.perf_counter()
        span = types.Range(_position(text, key.start), _position(text, key.start + key.deleted))
        client.text_document_did_change(change(uri, version, span, key.inserted))
        suggestion = await ask(client, uri, _position(key.text, key.cursor))
        taken_s = time.perf_counter() - started
        explained = await client.workspace_execute_command_async(types.ExecuteCommandParams("lacuna.explain"))
        counters = dict(explained["counters"]) if explained else {}
        answers.append(TypedAnswer(taken_s, key.gap_s, suggestion, counters, key.jumped))
        text = key.text
        await asyncio.sleep(max(0.0, key.gap_s - (time.perf_counter() - started)))
    return answers


def _position(text: str, offset: int) -> types.Position:
    """In UTF-16 units, the encoding that needs no negotiation."""
    line_start = text.rfind("\n", 0, offset) + 1
    return types.Position(text.count("\n", 0, offset), len(text[line_start:offset].encode("utf-16-le")) // 2)


def _text(items: Any) -> str:
    found = items.items if isinstance(items, types.InlineCompletionList) else items or []
    return str(getattr(found[0].insert_text, "value", found[0].insert_text)) if found else ""


def _process(client: LanguageClient) -> psutil.Process:
    server = client._server
    assert server is not None
    return psutil.Process(server.pid)
