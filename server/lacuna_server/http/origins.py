"""What a browser says of a request: for which page it asks (Origin), and what it calls this server (Host)."""

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
    """An origin as browsers write it, or ANY. Raises BadRequest for what is none."""
    origin = text.strip()
    if origin in (ANY, "null"):
        return origin
    if (found := _normal(origin)) is None:
        raise BadRequest(f"{text!r} is not the origin of a web page.", "Write https://HOST:PORT, or '*' for all.")
    return found


def is_listed(origin: str, listed: frozenset[str]) -> bool:
    """Whether a page of `origin` may ask; `listed` are results of `parse`."""
    return ANY in listed or origin in listed or _normal(origin) in listed


def is_own(origin: str, host: str) -> bool:
    """Whether `origin` is the server that the request calls `host`."""
    found = _normal(origin)
    return found is not None and found == _normal(f"{origin.partition('://')[0]}://{host}")


def name_in(host: str) -> str:
    """The name in a Host header, without the port."""
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
    """`origin` in lower case, without a slash at its end or the port that its scheme has anyway. None for no origin."""
    try:
        parts = urlsplit(origin)
        port, host = parts.port, (parts.hostname or "").encode("idna").decode()
    except ValueError:
        return None
    more = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if more or not parts.scheme or not _HOST.fullmatch(host):
        return None
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{port}")
