"""Puts the language server together and runs it over stdio or one loopback connection."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from ipaddress import ip_address
from typing import BinaryIO, NoReturn

from lsprotocol import types
from pygls.io_ import run_async

from lacuna_inference.engine import ModelEngine
from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_server.lsp.features import completion, configuration, explain, inline_completion, loading
from lacuna_server.lsp.language_server import LacunaServer
from lacuna_server.lsp.session import MakeEngine, Session
from lacuna_server.settings import Settings

logger = logging.getLogger(__name__)


def build(
    settings: Settings,
    complaints: Sequence[str] = (),
    make_engine: MakeEngine = lambda s: ModelEngine(s.model_options()),
) -> LacunaServer:
    """A server with every feature; the engine starts with the `initialized` notification.

    `complaints` are sentences about settings that were left out; the client's log gets them.
    """
    session = Session(settings, make_engine, complaints)
    server = LacunaServer(session)
    inline_completion.register(server)
    completion.register(server)
    configuration.register(server)
    explain.register(server)

    @server.feature(types.INITIALIZED)
    async def initialized(ls: LacunaServer, _: types.InitializedParams) -> None:
        _warm_up(ls)
        sent = await configuration.pull(ls)
        if sent is not None:
            ls.session.configure(sent)
        await loading.start(ls)
        configuration.report_complaints(ls)
        await configuration.subscribe(ls)

    return server


def _warm_up(server: LacunaServer) -> None:
    """Builds the converters of the frequent messages now: on first use each takes about ten milliseconds."""
    at = {"textDocument": {"uri": ""}, "position": {"line": 0, "character": 0}}
    frequent = {
        types.TEXT_DOCUMENT_INLINE_COMPLETION: {**at, "context": {"triggerKind": 1}},
        types.TEXT_DOCUMENT_COMPLETION: at,
    }
    for method, params in frequent.items():
        server.protocol.structure_message({"jsonrpc": "2.0", "id": 0, "method": method, "params": params})
    changed = {"textDocument": {"uri": "", "version": 0}, "contentChanges": [{"text": ""}]}
    server.protocol.structure_message({"jsonrpc": "2.0", "method": types.TEXT_DOCUMENT_DID_CHANGE, "params": changed})


def serve_stdio(server: LacunaServer, streams: tuple[BinaryIO, BinaryIO]) -> NoReturn:
    """Serves until exit or the end of the input, and ends the process."""
    server.start_io(*streams)
    server.session.lifecycle.leave()


def serve_tcp(server: LacunaServer, address: str) -> NoReturn:
    """Serves one client that connects to `address` (HOST:PORT), and ends the process; a second one is turned away.

    Raises BadRequest for an address that is not on loopback, LacunaError for one that cannot be bound.
    """
    host, port = parse_loopback(address)
    try:
        asyncio.run(_serve_one(server, host, port))
    except OSError as error:
        raise LacunaError(f"{address} cannot be used: {error.strerror or error}.", "Choose another port.") from error
    except SystemExit:
        pass
    server.session.lifecycle.leave()


def parse_loopback(address: str) -> tuple[str, int]:
    """Host and port. Raises BadRequest unless the host is on loopback and the port a number."""
    host, separator, port = address.rpartition(":")
    host = {"localhost": "127.0.0.1", "": "127.0.0.1"}.get(host, host).strip("[]")
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not separator or not port.isdigit() or int(port) > 65535:
        raise BadRequest(f"{address!r} is no address.", "Write HOST:PORT, for example 127.0.0.1:2087.")
    if not loopback:
        raise BadRequest(f"{host} is not on loopback.", "The protocol has no password; use 127.0.0.1 or [::1].")
    return host, int(port)


async def _serve_one(server: LacunaServer, host: str, port: int) -> None:
    done = asyncio.Event()
    stop = threading.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readline()
        if server.protocol.writer is not None or not first.lower().startswith(b"content-"):
            writer.close()  # a second client, or a web page that tries its luck with HTTP
            return
        server.protocol.set_writer(writer)
        try:
            await run_async(stop, _Reader(first, reader), server.protocol, logger, server.report_server_error)
        except (SystemExit, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            done.set()

    listener = await asyncio.start_server(connected, host, port)
    async with listener:
        where = listener.sockets[0].getsockname()
        logger.info("Listening on %s:%s.", where[0], where[1])
        await done.wait()


class _Reader:
    """A stream whose first line was read already."""

    def __init__(self, first: bytes, reader: asyncio.StreamReader) -> None:
        self._first = first
        self._reader = reader

    async def readline(self) -> bytes:
        first, self._first = self._first, b""
        return first or await self._reader.readline()

    async def readexactly(self, n: int) -> bytes:
        return await self._reader.readexactly(n)
