"""TLS for `lacuna serve`. The handshake is done here, so that a client that never finishes it is counted and dropped.

asyncio's own TLS server creates the protocol only after the handshake, and waits a minute for it.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any, ClassVar

from lacuna_inference.errors import BadRequest
from lacuna_server.http.connections import Connection

_REMEDY = "Check --tls-cert and --tls-key: PEM files, the certificate first, and a key without a password."


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The server's TLS context. Raises BadRequest for files that cannot be used."""
    for file in (certificate, key):
        if not file.is_file():
            raise BadRequest(f"There is no file {file}.", "Check --tls-cert and --tls-key.")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.set_alpn_protocols(["http/1.1"])
    try:
        tls.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise BadRequest(f"{certificate} and {key} cannot be used for TLS: {_reason(error)}.", _REMEDY) from None
    return tls


def _no_password() -> str:
    """Raises ValueError, because OpenSSL would prompt on the terminal otherwise."""
    raise ValueError("the key is encrypted")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        return "the key is another certificate's" if mismatch else "one of them is not in PEM format"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class Handshake(asyncio.Protocol):
    """A connection until its TLS handshake is done. A subclass sets what it becomes.

    Data that arrives early is kept for `become`.
    """

    become: ClassVar[type[Connection]]
    context: ClassVar[ssl.SSLContext]

    def __init__(self, **settings: Any) -> None:
        """`settings` are uvicorn's arguments for its protocols."""
        self._connection = self.become(**settings)
        self._connections = self._connection.connections
        self._early = bytearray()
        self._secure = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.pause_reading()
        self._transport = transport
        self._task = self._connection.loop.create_task(self._handshake())
        self._connections.add(self)  # type: ignore[arg-type]
        self.become.pool.mark_waiting(self)
        if self.become.pool.closed:
            self.drop()

    def data_received(self, data: bytes) -> None:
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        if self._secure:
            self._connection.connection_lost(exc)
        else:
            self.drop()

    def drop(self) -> None:
        self._unregister()
        self._task.cancel()
        self._transport.abort()

    def shutdown(self) -> None:
        """Called by uvicorn when the server stops."""
        self.drop()

    async def _handshake(self) -> None:
        loop, seconds = self._connection.loop, self.become.timeouts.request_s
        try:
            secured = await loop.start_tls(
                self._transport, self, self.context, server_side=True, ssl_handshake_timeout=seconds
            )
        except OSError:  # includes ssl.SSLError and TimeoutError
            secured = None
        self._unregister()
        if secured is not None:
            self._become_connection(secured)

    def _unregister(self) -> None:
        self.become.pool.remove(self)
        self._connections.discard(self)

    def _become_connection(self, secured: asyncio.Transport) -> None:
        self._secure = True
        secured.set_protocol(self._connection)
        self._connection.connection_made(secured)
        if self._early:
            self._connection.data_received(bytes(self._early))
