"""An editor that types a session into a real `lacuna lsp` over stdio and waits for each suggestion."""

from __future__ import annotations

import asyncio
import random
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.client import LanguageClient

from lacuna_inference.errors import LacunaError
from lacuna_lab.bench import stamped
from lacuna_lab.bench.typing_bench import Run, TypedAnswer
from lacuna_lab.bench.typing_trace import TypingTrace

Client = LanguageClient
"""What `connect` yields. Only this module imports the protocol."""
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


def open_document(client: LanguageClient, name: str, text: str, language_id: str = "python") -> str:
    """Opens a document and returns its URI: that of `name` if it is an absolute path, or else one without a file."""
    uri = Path(name).as_uri() if Path(name).is_absolute() else _URI.format(quote(name))
    document = types.TextDocumentItem(uri, language_id, 0, text)
    client.text_document_did_open(types.DidOpenTextDocumentParams(document))
    return uri


def change_folder(client: LanguageClient, old: Path | None, new: Path | None) -> None:
    """Opens another folder in the place of the open one; None stands for none."""
    removed, added = ([types.WorkspaceFolder(folder.as_uri(), folder.name)] if folder else [] for folder in (old, new))
    event = types.WorkspaceFoldersChangeEvent(added, removed)
    client.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))


class Document:
    """An open document, and the cursor in it: where text is written, and suggestions are wanted."""

    def __init__(self, client: LanguageClient, name: str, language_id: str, before: str, after: str) -> None:
        """Opens it, with the cursor between `before` and `after`."""
        self._client = client
        self._before = before
        self._version = 0
        self._uri = open_document(client, name, before + after, language_id)

    def insert(self, text: str) -> None:
        """Writes `text` at the cursor."""
        self._version += 1
        at = self._cursor()
        self._client.text_document_did_change(change(self._uri, self._version, types.Range(at, at), text))
        self._before += text

    async def ask(self) -> str:
        """The suggestion at the cursor, or an empty text. If the task is cancelled, so is the request.

        Raises LacunaError if the server fails.
        """
        request_id = str(uuid.uuid4())
        sent = self._client.protocol.send_request(
            types.TEXT_DOCUMENT_INLINE_COMPLETION, _asked(self._uri, self._cursor()), msg_id=request_id
        )
        answer = asyncio.wrap_future(sent)
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be there to see it
        try:
            return _text(await asyncio.shield(answer))
        except asyncio.CancelledError:
            self._client.cancel_request(types.CancelParams(request_id))
            raise
        except (JsonRpcException, RuntimeError) as error:  # what pygls raises when the process has ended
            raise LacunaError(f"The language server gave no answer: {error}.", "Run lacuna doctor.") from error

    async def explain(self) -> dict[str, Any]:
        """What the server tells of its last answer; nothing before the first."""
        command = types.ExecuteCommandParams("lacuna.explain")
        asked = asyncio.ensure_future(self._client.workspace_execute_command_async(command))
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be there to see it
        told = await asyncio.shield(asked)  # pygls logs a traceback for an answer that nobody awaits any more
        return dict(told) if told else {}

    def close(self) -> None:
        document = types.TextDocumentIdentifier(self._uri)
        self._client.text_document_did_close(types.DidCloseTextDocumentParams(document))

    def _cursor(self) -> types.Position:
        return _position(self._before, len(self._before))


async def ask(client: LanguageClient, uri: str, position: types.Position) -> str:
    """The suggestion at `position`, or an empty text."""
    return _text(await client.text_document_inline_completion_async(_asked(uri, position)))


def change(uri: str, version: int, span: types.Range, inserted: str) -> types.DidChangeTextDocumentParams:
    """An edit of an open document."""
    return types.DidChangeTextDocumentParams(
        types.VersionedTextDocumentIdentifier(version, uri), [types.TextDocumentContentChangePartial(span, inserted)]
    )


def process_of(client: LanguageClient) -> psutil.Process:
    """The server's process."""
    server = client._server
    assert server is not None
    return psutil.Process(server.pid)


async def drive(session: TypingTrace, environment: Mapping[str, str]) -> Run:
    """Types the session. A request follows every keystroke; the next keystroke waits for its gap and for the answer."""
    async with connect(environment) as client:
        uri = open_document(client, session.name, session.text)
        process = process_of(client)
        before = process.cpu_times()
        answers = await _type(client, uri, session)
        after = process.cpu_times()
        cpu_s = after.user + after.system - before.user - before.system
        return Run(answers, cpu_s, process.memory_info().rss)


async def edit_delays(session: TypingTrace, environment: Mapping[str, str], answers: int) -> list[float]:
    """Seconds from sending each edit until the server has applied it, while `answers` answers are computed."""
    async with connect(environment, (stamped.__name__,)) as client:
        uri = open_document(client, session.name, session.text)
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


def _asked(uri: str, position: types.Position) -> types.InlineCompletionParams:
    context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic)
    return types.InlineCompletionParams(context, types.TextDocumentIdentifier(uri), position)


def _position(text: str, offset: int) -> types.Position:
    """In UTF-16 units, the encoding that needs no negotiation."""
    line_start = text.rfind("\n", 0, offset) + 1
    return types.Position(text.count("\n", 0, offset), len(text[line_start:offset].encode("utf-16-le")) // 2)


def _text(items: Any) -> str:
    found = items.items if isinstance(items, types.InlineCompletionList) else items or []
    return str(getattr(found[0].insert_text, "value", found[0].insert_text)) if found else ""
