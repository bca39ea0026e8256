"""The token of a file: what callers of `lacuna serve` must send, and what a remote engine sends."""

from __future__ import annotations

import codecs
from pathlib import Path

from lacuna_inference.errors import BadRequest

MIN_TOKEN_CHARACTERS = 16
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""What Windows PowerShell's `>` begins a file with."""


def read_token(file: Path) -> str:
    """The token. Raises BadRequest, which never holds it, when there is none that can be sent."""
    try:
        data = file.expanduser().read_bytes()
        token = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{file} cannot be read: {error}.", "Check the path of the token file.") from None
    if len(token) < MIN_TOKEN_CHARACTERS or not token.isascii() or not token.isprintable() or " " in token:
        raise BadRequest(
            f"{file} holds no token of at least {MIN_TOKEN_CHARACTERS} signs.",
            "Make one: python -c 'import secrets; print(secrets.token_urlsafe())'.",
        )
    return token
