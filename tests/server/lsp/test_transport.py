"""Input on stdin that is not a message, or ends inside one."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from lacuna_server.lsp import transport

NOBODY: Any = SimpleNamespace(protocol=None, report_server_error=None)


@pytest.mark.parametrize(
    ("sent", "logged"),
    [
        (b"", ""),
        (b"rubbish\r\n\r\n", ""),
        (b"Content-Length: 50\r\n\r\n{", "in the middle of a message"),
        (b"x" * (transport._MAX_HEADER_BYTES + 1), "not a message"),
    ],
)
def test_serving_ends_with_the_stream(sent: bytes, logged: str, caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(asyncio.wait_for(transport._serve_stream(NOBODY, io.BytesIO(sent)), 10))
    assert logged in caplog.text
    assert bool(caplog.records) == bool(logged)


@pytest.mark.skipif(sys.platform == "win32", reason="the event loop reads no pipes there")
def test_a_pipe_is_read_without_a_thread(caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"Content-Length: 50\r\n\r\n{")
    os.close(writer)
    threads = threading.active_count()

    async def serve() -> None:
        serving = asyncio.ensure_future(transport._serve_stream(NOBODY, source))
        await asyncio.sleep(0)
        assert threading.active_count() == threads
        await asyncio.wait_for(serving, 10)

    with os.fdopen(reader, "rb") as source:
        asyncio.run(serve())
    assert "in the middle of a message" in caplog.text
