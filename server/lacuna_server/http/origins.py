"""The Origin and Host headers: which page a browser's request comes from, and by which name it reached this server."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from lacuna_inference.errors import BadRequest

ANY = "*"
_HOST = re.compile(r"[a-z0-9_.:-]+")
"""A name or an address in ASCII, as browsers write it."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


def parse(text: str) -> str:
    """An origin as browsers write it, or ANY. Raises BadRequest for a malformed one."""
    origin = text.strip()
    if origin in (ANY, "null"):
        return origin
    if (normal := _normal(origin)) is None:
        raise BadRequest(f"{text!r} is not the origin of a web page.", "Write https://HOST:PORT, or '*' for all.")
    return normal


def is_listed(origin: str, listed: frozenset[str]) -> bool:
    """Whether `listed`, results of `parse`, allow `origin`."""
    return ANY in listed or origin in listed or _normal(origin) in listed


def is_own(origin: str, host: str) -> bool:
    """Whether `origin` is this server, which the request calls `host`."""
    normal = _normal(origin)
    return normal is not None and normal == _normal(f"{origin.partition('://')[0]}://{host}")


def name_in(host: str) -> str:
    """The host name in a Host header, without the port."""
    return host.rpartition(":")[0] if re.search(r":\d+$", host) else host


def is_loopback(name: str) -> bool:
    """Whether `name` can mean only this machine: localhost, or a loopback address."""
    bare = name.lower().removesuffix(".")
    if bare == "localhost":
        return True
    try:
        address = ipaddress.ip_address(bare.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _normal(origin: str) -> str | None:
    """`origin` in lower case, without a trailing slash and its scheme's default port. None if it is malformed."""
    try:
        parts = urlsplit(origin)
        port, host = parts.port, (parts.hostname or "").encode("idna").decode()
    except ValueError:
        return None
    has_more = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if has_more or not parts.scheme or not _HOST.fullmatch(host):
        return None
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{port}")
