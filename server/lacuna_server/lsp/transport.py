"""Runs a server over stdio or one loopback connection."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from contextlib import suppress
from ipaddress import ip_address
from typing import BinaryIO, NoReturn

from pygls.io_ import StdoutWriter

from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_server.lsp.language_server import LacunaServer

logger = logging.getLogger(__name__)
_CHUNK = 2**16
_MAX_HEADER_BYTES, _MAX_BODY_BYTES = 2**20, 2**30
_CONTENT_LENGTH = re.compile(rb"\s*content-length\s*:\s*(\d+)\s*", re.IGNORECASE)


def serve_stdio(server: LacunaServer, streams: tuple[BinaryIO, BinaryIO]) -> NoReturn:
    """Serves until exit or the end of the input, then ends the process."""
    reader, writer = streams
    server.protocol.set_writer(StdoutWriter(writer))
    with suppress(KeyboardInterrupt, SystemExit, BrokenPipeError):
        asyncio.run(_serve_stream(server, reader))
    server.session.end()
    server.session.lifecycle.leave()


def serve_tcp(server: LacunaServer, address: str) -> NoReturn:
    """Serves one client that connects to `address` (HOST:PORT), then ends the process. Further clients are rejected.

    Raises BadRequest for an address that is not on loopback, LacunaError for one that cannot be bound.
    """
    host, port = parse_loopback(address)
    try:
        asyncio.run(_serve_one(server, host, port))
    except OSError as error:
        raise LacunaError(f"{address} cannot be used: {error.strerror or error}.", "Choose another port.") from error
    except SystemExit:
        pass
    server.session.end()
    server.session.lifecycle.leave()


def parse_loopback(address: str) -> tuple[str, int]:
    """Host and port. Raises BadRequest unless the host is on loopback and the port a number."""
    host, separator, port = address.rpartition(":")
    host = {"localhost": "127.0.0.1", "": "127.0.0.1"}.get(host, host).strip("[]")
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not separator or not (port.isascii() and port.isdigit()) or int(port[:6]) > 65535:
        raise BadRequest(f"{address!r} is not an address.", "Write HOST:PORT, for example 127.0.0.1:2087.")
    if not loopback:
        raise BadRequest(f"{host} is not on loopback.", "The protocol has no password; use 127.0.0.1 or [::1].")
    return host, int(port)


async def _serve_one(server: LacunaServer, host: str, port: int) -> None:
    done = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readline()
        if server.protocol.writer is not None or not first.lower().startswith(b"content-"):
            writer.close()  # a second client, or a web page that sends HTTP
            return
        server.protocol.set_writer(writer)
        try:
            await _serve(server, _Reader(first, reader))
        except (SystemExit, ConnectionError):
            pass
        finally:
            writer.close()
            done.set()

    listener = await asyncio.start_server(connected, host, port)
    async with listener:
        bound = listener.sockets[0].getsockname()
        logger.info("Listening on %s:%s.", bound[0], bound[1])
        await done.wait()


async def _serve_stream(server: LacunaServer, source: BinaryIO) -> None:
    """Serves the messages from `source`."""
    stream = asyncio.StreamReader(_MAX_HEADER_BYTES)
    if not _read_on_loop(source, stream):
        _read_in_thread(source, stream)
    await _serve(server, _Reader(b"", stream))


def _read_on_loop(source: BinaryIO, stream: asyncio.StreamReader) -> bool:
    """Lets the event loop read `source` and returns whether it can: pipes and sockets, not files, never on Windows.

    While a model decodes, every thread switch may wait milliseconds for the CPU.
    """
    loop = asyncio.get_running_loop()

    def ready() -> None:
        try:
            chunk = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if chunk:
            stream.feed_data(chunk)
        else:
            loop.remove_reader(descriptor)
            stream.feed_eof()

    try:
        descriptor = source.fileno()
        loop.add_reader(descriptor, ready)
    except (OSError, NotImplementedError):
        return False
    return True


def _read_in_thread(source: BinaryIO, stream: asyncio.StreamReader) -> None:
    """Reads `source` in chunks: the reader of pygls switches threads for every line."""
    loop = asyncio.get_running_loop()

    def pump() -> None:
        with suppress(OSError, ValueError, RuntimeError):  # the stream or the loop was closed
            while chunk := source.read1(_CHUNK):  # type: ignore[attr-defined]
                loop.call_soon_threadsafe(stream.feed_data, chunk)
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(stream.feed_eof)

    threading.Thread(target=pump, name="lacuna-stdin", daemon=True).start()


async def _serve(server: LacunaServer, reader: _Reader) -> None:
    """Handles messages until the stream ends, even in the middle of one."""
    try:
        while (length := await _length(reader)) is not None:
            body = await reader.readexactly(length)
            server.protocol.receive(body)
    except asyncio.IncompleteReadError:
        logger.warning("The client disconnected in the middle of a message.")
    except ValueError:
        logger.error("The client sent something that is not a message; the server exits.")


async def _length(reader: _Reader) -> int | None:
    """Reads the header of the next message. Returns the length of its body in bytes, or None at the end of the stream.

    Skips lines that are not a header. Raises ValueError for a line or a body that exceeds the limits.
    """
    length = 0
    while line := await reader.readline():
        if match := _CONTENT_LENGTH.fullmatch(line):
            length = int(match.group(1))
        elif length and not line.strip():
            if length > _MAX_BODY_BYTES:
                raise ValueError
            return length
    return None


class _Reader:
    """A stream whose first line may already have been read."""

    def __init__(self, first: bytes, reader: asyncio.StreamReader) -> None:
        self._first = first
        self._reader = reader

    async def readline(self) -> bytes:
        first, self._first = self._first, b""
        return first or await self._reader.readline()

    async def readexactly(self, n: int) -> bytes:
        """Reads a message's body. First lets the previous message's handler take its first step, the snapshot."""
        await asyncio.sleep(0)
        return await self._reader.readexactly(n)
