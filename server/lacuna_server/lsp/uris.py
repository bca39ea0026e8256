"""What a document's URI says. Editors invent schemes and forms of their own, so every string is taken."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from lacuna_server.core.paths import is_on_a_share

_PARTS = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)", re.DOTALL)
"""The regular expression of RFC 3986, appendix B; urllib refuses brackets in the authority, among others."""


class Parts(NamedTuple):
    """Scheme in lower case, authority and path, percent signs decoded; what is missing is empty."""

    scheme: str
    authority: str
    path: str


def parts(uri: str) -> Parts:
    """The parts of any string: never raises."""
    found = _PARTS.match(uri)
    assert found is not None, "every part is optional"
    scheme, authority, path = (unquote(part or "") for part in found.groups())
    return Parts(scheme.lower(), authority, path)


def uri_path(uri: str) -> str:
    """The path in a URI of any scheme: what the user's rules look at."""
    return parts(uri).path


def file_name(uri: str) -> str | None:
    """Path of a document's URI, for the prompt's header; None for an untitled one."""
    scheme, _, path = parts(uri)
    return path if scheme in ("file", "vscode-notebook-cell") and path else None


def local_path(uri: str) -> Path | None:
    """Where a file URI is on this machine; None for another scheme and for what is on another machine."""
    scheme, authority, path = parts(uri)
    if scheme != "file" or authority not in ("", "localhost") or is_on_a_share(path) or "\0" in path:
        return None
    on_a_drive = sys.platform == "win32" and re.match(r"/[A-Za-z]:", path)
    return Path(path[1:] if on_a_drive else path)
