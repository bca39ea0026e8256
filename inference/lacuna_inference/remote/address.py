"""Parses a server's address as users write it, and says whether traffic to it can be read on the network."""

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
"""The end of base URLs for OpenAI's clients; every request path here includes it."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server's URL without a trailing slash, and the user name and password that it held."""

    url: httpx.URL
    login: tuple[str, str] | None = None

    @property
    def readable(self) -> bool:
        """Whether others on the network can read the traffic: plain HTTP to another machine."""
        return self.url.scheme == "http" and not _is_loopback(self.url.host)


def parsed(text: str, endpoints: Iterable[str] = ()) -> Address:
    """The address in `text`. Its path is kept, except for one of `endpoints` at its end, which requests add anyway.

    Raises BadRequest if `text` is not the address of a server.
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
    """A TLS context that trusts only the certificates in `ca_file` (PEM): an authority's, or the server's own.

    Raises BadRequest for a file without certificates.
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
    """What the user must change before a connection can succeed, as a predicate; None if a retry may succeed."""
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
