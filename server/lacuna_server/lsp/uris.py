"""Parses document URIs. Editors use schemes and forms of their own, so every string is accepted."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from lacuna_server.core.paths import is_on_a_share

_PARTS = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)", re.DOTALL)
"""The regular expression of RFC 3986, appendix B. urllib rejects brackets in the authority, among others."""


class Parts(NamedTuple):
    """Scheme in lower case, authority and path, percent-decoded. Missing components are empty."""

    scheme: str
    authority: str
    path: str


def parts(uri: str) -> Parts:
    """The components of any string; never raises."""
    match = _PARTS.match(uri)
    assert match is not None, "every part is optional"
    scheme, authority, path = (unquote(part or "") for part in match.groups())
    return Parts(scheme.lower(), authority, path)


def uri_path(uri: str) -> str:
    """The path in a URI of any scheme, to which the user's rules apply."""
    return parts(uri).path


def file_name(uri: str) -> str | None:
    """The path of a document, for the prompt's header; None for an untitled document."""
    scheme, _, path = parts(uri)
    return path if scheme in ("file", "vscode-notebook-cell") and path else None


def local_path(uri: str) -> Path | None:
    """The local path of a file URI; None for another scheme and for a file on another machine."""
    scheme, authority, path = parts(uri)
    if scheme != "file" or authority not in ("", "localhost") or is_on_a_share(path) or "\0" in path:
        return None
    has_drive = sys.platform == "win32" and re.match(r"/[A-Za-z]:", path)
    return Path(path[1:] if has_drive else path)
