"""The address of a server as a user writes it, and whether what is sent there can be read on the way."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import httpx

from lacuna_inference.errors import BadRequest

_API = "/v1"
"""The end of addresses that are made for OpenAI's clients; each path that is asked has its own."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server's URL without a slash at its end, and the name and password that stood in it."""

    url: httpx.URL
    login: tuple[str, str] | None = None

    @property
    def readable(self) -> bool:
        """Whether others in the network can read what is sent: over plain HTTP, to another machine."""
        return self.url.scheme == "http" and not _is_loopback(self.url.host)


def parsed(text: str, endpoints: Iterable[str] = ()) -> Address:
    """The address in `text`: a path in it is kept, but for `endpoints` at its end, which are asked anyway.

    Raises BadRequest for what is no address of a server.
    """
    try:
        url = httpx.URL(text.strip())
    except httpx.InvalidURL as error:
        raise _no_address(text, f" ({error})") from None
    if url.scheme not in ("http", "https") or not url.host or not 0 < (url.port or 1) < 2**16:
        raise _no_address(text)
    if url.query or url.fragment:
        raise BadRequest("The address of a server has no '?' and no '#'.", "Write http://HOST:PORT.")
    login = (url.username, url.password) if url.userinfo else None
    return Address(url.copy_with(userinfo=b"", path=_path(url.path, endpoints)), login)


def trusting(ca_file: Path) -> ssl.SSLContext:
    """Trusts the certificates in `ca_file` (PEM) and no others: an authority's, or the server's own.

    Raises BadRequest for a file that holds none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(ca_file.expanduser())
    except OSError as error:  # an SSLError is one
        why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror or error
        raise BadRequest(f"{ca_file} cannot be used: {why}.", "Check engine_ca_file.") from None
    return context


def refused(error: BaseException | None) -> str | None:
    """What a user must change before a connection can be made, a sentence; None where it may come by itself."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"has a certificate that is not trusted: {error.verify_message}. Check engine_ca_file."
        if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            return "speaks no TLS. Write http:// instead of https://."
        error = error.__cause__ or error.__context__
    return None


def _path(path: str, endpoints: Iterable[str]) -> str:
    path = re.sub("/+", "/", path).rstrip("/")
    for endpoint in sorted({*endpoints, _API}, key=len, reverse=True):
        if path.endswith(endpoint):
            return path.removesuffix(endpoint)
    return path


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _no_address(text: str, why: str = "") -> BadRequest:
    hidden = re.sub(r"//[^/@]*@", "//", text)
    return BadRequest(f"{hidden!r} is no address of a server{why}.", "Write http://HOST:PORT.")
